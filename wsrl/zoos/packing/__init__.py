"""What ``pack_zoo`` puts together: a user's models, their table and their sequences."""
