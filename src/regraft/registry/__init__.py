"""Who is champion, who was, and why: the journal, the ledger, waivers, and MLflow's runs and registry as its projection."""
