"""Results to look at: the HTML page, its gallery, drawn pictures."""
