"""The terminal: one file per command. Options in, one workflow, result out. Nothing heavy is imported at start."""
