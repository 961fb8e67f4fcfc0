"""Steps, gates, approvals, execution and evidence."""
