"""Who is champion, who was, and why: the journal, and MLflow's registry as its projection."""
