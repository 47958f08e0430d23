"""The command line `warden`: one file for each group of commands, what they do in files of its own."""
