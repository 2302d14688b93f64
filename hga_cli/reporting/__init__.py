"""Pictures and pages of results: data in, HTML or PNG out. No page asks any server for anything.

Arrays of scans are (D, H, W) in canonical orientation (first axis to the Right, second Anterior, third Superior).
"""
