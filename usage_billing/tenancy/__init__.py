"""What the database itself does for us: the walls between tenants, functions and a view for those who work in SQL.

All of it follows from the models and is made anew, where it differs, after each `migrate`.
"""
