"""The built-in model `guide`: its text, how it is trained from it and scored, and (in `model/`) what came out."""
