"""Grids of runs that rebuild the tables of papers: resumable, within given minutes, a json for every cell."""
