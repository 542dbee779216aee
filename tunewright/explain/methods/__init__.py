"""One file a method: what it needs is a function from texts to label log-likelihoods."""
