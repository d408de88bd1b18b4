"""Files of calls that other programs have recorded: read row by row, so that their size does not matter."""
