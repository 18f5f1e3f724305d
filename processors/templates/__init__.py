"""E-mail templates: what each one must be given (`catalogue`), and how it becomes a mail
(`render`).
"""
