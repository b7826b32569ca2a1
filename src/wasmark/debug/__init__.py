"""What tools and people look at running or compiled code with. Nothing here is imported before somebody asks for it."""
