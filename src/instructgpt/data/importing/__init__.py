"""Files of any form and format to records, row by row, each counted once."""
