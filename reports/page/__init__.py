"""One HTML page of results, with its figures and players."""
