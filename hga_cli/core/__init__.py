"""What everything else rests on: errors, names of combinations, tables of names, configuration, run folders."""
