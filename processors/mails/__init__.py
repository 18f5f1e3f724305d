"""What a mail needs beside its payload: its agency, its record in the database, its files."""
