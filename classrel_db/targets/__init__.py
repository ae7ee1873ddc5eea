"""Where heads go: files that other programs open.

Each function writes what it is handed, Arrow tables or arrays, and knows one program's or format's rules;
which classes, rows and columns these are is the catalog's to say.
"""
