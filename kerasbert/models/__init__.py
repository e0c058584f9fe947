"""Model families and the factory that builds them."""
