"""How good a segmentation is.

Dice (`overlap`) and HD95 in mm (`surface`) of regions (`regions`), as raw scores of a case (`score`), and the named
conventions that say what a structure scores that is empty on one side or on both (`conventions`). On request (`extras`)
surface Dice, volume error and lesions (`lesions`), and `calibration`. How sure a mean is (`interval`), and whether two
models differ (`paired`).
"""
