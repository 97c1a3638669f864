"""MCP: tools for models, over stdio and HTTP, said so that no model misreads them.

What a tool does is a command's handler. No rule of scheduling lives here, and no shape but the choice of what of a
command's answer a model is shown.
"""
