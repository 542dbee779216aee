"""Ways to write a new text after an old one: one file each. `augment` checks what they write."""
