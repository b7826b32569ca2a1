"""What a module is: the opcode table, the types, and the decoded model. No behaviour beyond that."""
