"""Models, the commit policy, and the streaming decoder over them."""
