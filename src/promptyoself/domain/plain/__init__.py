"""Plain words for times, read by a strict grammar: `moments` for one instant, `recurrences` for rules.

Every word and number of a phrase is accounted for, or the phrase is refused: nothing is skipped, nothing guessed. What
they are read with: `tokens` (text to tokens), `vocabulary` (what words mean), `clocks` (times of day), `days` (dates),
`suggestions` (the nearest forms that would be understood). docs/time.md holds the grammar as a table.
"""
