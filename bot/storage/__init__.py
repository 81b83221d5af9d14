"""Tables, database, migrations, history, search and picture files."""
