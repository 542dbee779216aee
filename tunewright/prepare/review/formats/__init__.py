"""Review in other tools: the queue and what was decided, as files that Label Studio, Argilla and spreadsheets read and write."""
