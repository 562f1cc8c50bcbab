"""Tables, figures, verdicts and the report that a run leaves behind."""
