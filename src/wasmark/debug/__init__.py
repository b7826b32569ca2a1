"""What tools and people look at running or compiled code with; and how it looks in Python's tracebacks."""
