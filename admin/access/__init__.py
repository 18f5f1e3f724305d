"""Who gets in: logins, sessions, tokens, throttles, what a browser is told, and the audit.

`guarded.py` puts it together; each of the others owns one noun. All of it stands on the seam in
`admin/policy.py`, and nothing outside of this folder knows how any of it works.
"""
