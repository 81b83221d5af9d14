"""Words before pictures: expanders, guard, glossary and caption encoder."""
