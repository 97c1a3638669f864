"""What a model is taught: the server's instructions, and a prompt that shows how to use time well."""

from __future__ import annotations

from typing import Final

PROMPT_NAME: Final = "use_time_well"
PROMPT_TITLE: Final = "Use time well"
PROMPT_HELP: Final = "How to schedule prompts to yourself so that they help you later."

INSTRUCTIONS: Final = """\
promptyoself sends you prompts at later times: reminders, follow-ups, recurring duties. schedule_prompt makes one; \
preview_schedule says what a rule means before you store it; am_i_on_time says what time it is and which scheduled \
prompt you are in. Times without a zone are read in the server's: give `timezone`, your user's IANA zone. Every answer \
names the zone, the next fire times and warnings: read them. A refusal says what to write; correct the call and repeat \
it once. A prompt that arrives is the scheduled run itself: do what it asks, and do not schedule it again."""

LESSON: Final = """\
You can send prompts to your later self with promptyoself. To use time well:

1. Write to somebody who remembers nothing. A prompt arrives alone: say what to do, for whom, why, where to look, and \
what to do when it is no longer needed.
2. Say when exactly. "in 45 minutes", "tomorrow at 9am", "every weekday at 09:00". Ask for the user's time zone once, \
remember it, and give it as `timezone` each time. Use preview_schedule when you are not sure.
3. Read the answer. `next_runs` are the instants at which it fires; `warnings` say what may surprise. If they are not \
what you meant, use update_schedule at once.
4. Look before you add. list_my_schedules shows what there is. Give a `key` to a duty that must exist once: scheduling \
it again then updates it.
5. Give recurring things an end: `end_at` or `max_repetitions`. Cancel what is done; pause what rests.
6. When a scheduled prompt arrives, do it; do not schedule the same thing again. To come back once to unfinished work, \
schedule one follow-up.
7. Before something that must not be done twice, call claim_once with a key that names it.
8. When something seems late or missing, call am_i_on_time or why; do not guess, and do not repeat.
9. Wake yourself only when it helps somebody. Once a day is often enough; every minute seldom is.
"""
