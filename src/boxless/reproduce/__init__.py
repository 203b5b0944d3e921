"""Grids of trials that rebuild the tables of papers: resumable, within given minutes, a json for every trial."""
