"""Every bound in one place, each with its unit. A loop, queue, page or wait without a name here is a bug.

A little over 500 lines: one place is the point of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

# -- what may be stored -------------------------------------------------------------------------------------
PROMPT_BYTES_MAX: Final = 1024 * 1024
"""UTF-8 bytes of a prompt by an operator; agents have AGENT_PROMPT_BYTES_MAX."""
NAME_CHARS_MAX: Final = 200
KEY_CHARS_MAX: Final = 200
AGENT_ID_CHARS_MAX: Final = 200
CONVERSATION_CHARS_MAX: Final = 200
EXPRESSION_CHARS_MAX: Final = 4096
REASON_CHARS_MAX: Final = 500
REPLY_EXCERPT_CHARS_MAX: Final = 500
ERROR_CHARS_MAX: Final = 500
MAX_REPETITIONS_MAX: Final = 1_000_000_000

CONTENT_MESSAGES_MAX: Final = 50
CONTENT_PARTS_MAX: Final = 50
"""Parts (texts and images) of one message."""
CONTENT_IMAGE_BYTES_MAX: Final = 5 * 1024 * 1024
"""Bytes of one image; the providers behind Letta take no larger ones."""
CONTENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a schedule's content as JSON, images in base64."""
SIGNATURE_CHARS_MAX: Final = 10_000
MAX_STEPS_MAX: Final = 1000
CALLBACK_URL_CHARS_MAX: Final = 2000

# -- time ---------------------------------------------------------------------------------------------------
PHRASE_CHARS_MAX: Final = 200
"""Characters of a time or rule in plain words; a longer text is refused before anything reads it."""
FOREIGN_CHARS_MAX: Final = 60
"""Characters of an instant in another language."""
SUGGESTIONS_MAX: Final = 3
SUGGESTIONS_TRIED_MAX: Final = 16
"""Forms tried at most in search of those to suggest."""
TYPOS_MAX: Final = 3
TYPO_CHARS_MAX: Final = 20
"""Words of a phrase put right at most, and how many of their characters are looked at."""
INTERVAL_MIN: Final = timedelta(seconds=1)
INTERVAL_MAX: Final = timedelta(days=3660)
JITTER_MAX: Final = timedelta(hours=24)
TRIGGER_HORIZON: Final = timedelta(days=366 * 50)
"""A rule that fires at no instant within this span is refused as one that never fires."""
INSTANT_MIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
INSTANT_MAX: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""Instants a caller may name; beyond, arithmetic with offsets would leave what datetime can hold."""
RECURRENCE_END: Final = datetime(9900, 1, 1, tzinfo=UTC)
"""No recurring rule fires at or after this instant."""
OFFSET_PROBE_EVERY: Final = timedelta(days=3)
"""A zone is asked for its offset this often. Since 1970 two changes have always been six days apart or more."""
CLOCK_CORRECTION_MIN: Final = timedelta(hours=3)
"""A jump of the wall clock this long is a correction, not daylight saving: nothing is made up or left out."""
JUMP_MAX: Final = timedelta(hours=26)
"""No zone's clock has jumped further since 1970 (24 h, across the date line)."""
DST_WARNING_SPAN: Final = timedelta(days=8)
"""A clock change this near is named when a schedule is made."""
EXPLAINED_SPAN: Final = timedelta(days=366)
"""`explain` names the clock changes of this long."""
DURATION_DIGITS_MAX: Final = 12
CRON_DIGITS_MAX: Final = 6
CRON_TERMS_MAX: Final = 200
"""Terms in one field's list."""
RRULE_COUNT_MAX: Final = 10_000
"""COUNT of a rule; its fire times are counted from DTSTART every time."""
RRULE_COUNT_SPAN_MAX: Final = timedelta(days=366 * 100)
RRULE_COUNT_STEPS_MAX: Final = 24_000
"""How far from DTSTART a COUNT is counted, and over how many candidates; beyond, the rule is refused."""
RRULE_INTERVAL_MAX: Final = 1_000_000
RRULE_TIMES_MAX: Final = 1440
"""Times of day (or of hour, or of minute) that one rule's BYHOUR x BYMINUTE x BYSECOND may give."""
RRULE_DATES_MAX: Final = 250
"""Dates in one rule's RDATE and EXDATE."""
RRULE_STEPS_MAX: Final = 20_000
"""Candidates (days, and periods in them) looked at between two fire times before a rule is held to have ended."""
PERIOD_SAMPLE: Final = 10
"""Fire times whose smallest gap stands for a rule's period."""
PREVIEW_RUNS_MAX: Final = 1000
WALK_STEPS_MAX: Final = 32
"""Fire times that a walk steps over before it looks for its place anew."""
NEXT_RUNS_SHOWN: Final = 3
LOOKS_IN_A_STRETCH_MAX: Final = 100
"""Skipped fire times in a row that are looked at one by one; then the rest of a holiday or quiet night is left out."""
LOOKS_AHEAD_MAX: Final = 500
"""Fire times looked at for the next that is not skipped; a schedule that skips them all is said to send nothing."""

# -- simulating ---------------------------------------------------------------------------------------------
SPAN_SIMULATED_MAX: Final = timedelta(days=3660)
FIRES_SIMULATED_MAX: Final = 5_000_000
"""Fire times of all schedules of one simulation; more are refused with the name of the costliest schedule."""
SAMPLE_SPAN: Final = timedelta(days=7)
"""The first days of a long span, whose fire times tell whether the whole is far too much to begin with."""
SAMPLE_EXCESS: Final = 4
"""A sample may be wrong by this factor before its verdict counts."""
OUTAGES_MAX: Final = 100
ROWS_DEFAULT: Final = 100
ROWS_MAX: Final = 100_000
CROWDS_SHOWN_MAX: Final = 20
"""Minutes with several fire times of one agent that are listed; all are counted."""
CROWD_NAMES_MAX: Final = 20
"""Schedules named of one such minute."""

# -- planning -----------------------------------------------------------------------------------------------
SCHEDULES_PER_PASS_MAX: Final = 500
"""Schedules planned in one transaction; a pass repeats until none is due."""
FLEET_PLANNED_MAX: Final = 100
"""The same on PostgreSQL, where it costs more, and others wait for what it has in hand."""
CATCH_UP_ALL_MAX: Final = 1000
"""Occurrences that `catch_up all` opens at most for one schedule; older ones are skipped with a record."""
CATCH_UP_STRETCHES_MAX: Final = 400
"""Stretches of holidays and quiet hours that `catch_up latest` looks behind for a fire time that stands."""
MISSED_COUNT_MAX: Final = 1000
"""Missed fire times are counted up to here; beyond, the count is a lower bound."""
MISFIRE_GRACE: Final = timedelta(seconds=90)
"""How late an occurrence may be planned and still not be a misfire under `catch_up skip`."""

SKIP_MAX: Final = 100
"""Fire times that one skip passes over at most; each gets a row."""
SNOOZE_MAX: Final = timedelta(days=30)
"""How far a delivery may be put off, counted from when it would have come."""

ZONE_LOOK_EVERY: Final = timedelta(minutes=1)
"""How often an executor compares its zone database with the stored version, before it plans."""
ZONE_BATCH: Final = 200
"""Schedules whose next fire is worked out anew in one transaction."""
ZONE_BATCHES_MAX: Final = 1_000_000

# -- delivery -----------------------------------------------------------------------------------------------
RETRY_FOR_DEFAULT: Final = timedelta(hours=24)
RETRY_FOR_MAX: Final = timedelta(days=30)
ATTEMPTS_MAX: Final = 8
"""Attempts that may have reached the agent (failed or unknown); refusals do not count."""
BACKOFF_FIRST: Final = timedelta(seconds=5)
BACKOFF_MAX: Final = timedelta(minutes=15)
BUSY_BACKOFF_FIRST: Final = timedelta(seconds=1)
BUSY_BACKOFF_MAX: Final = timedelta(seconds=30)
RUN_TIME_MAX: Final = timedelta(minutes=30)
"""How long an agent's run is followed before its delivery is unknown."""
LAST_LOOK: Final = timedelta(seconds=15)
"""How long a run taken over late is followed at least, so that one which has ended is seen to have ended."""
SETTLE_FIRST: Final = timedelta(seconds=2)
SETTLE_MAX: Final = timedelta(seconds=20)
"""Pauses between the questions asked about an unknown delivery."""
SETTLE_FOR: Final = timedelta(minutes=2)
"""How long an unknown delivery is asked about before it is repeated, marked as a possible repeat."""
LATE_FIRST_SEND: Final = timedelta(minutes=5)
"""A send this much behind its time asks for its otid first: the database may have been restored from a backup."""
RETRY_AFTER_MAX: Final = timedelta(minutes=15)
"""A longer Retry-After of a target is taken as this much."""
FINALS_BEFORE_PAUSE: Final = 10
"""Final errors in a row that pause a schedule."""

IDS_LEFT_OUT_MIN: Final = 100_000
IDS_LEFT_OUT_MAX: Final = 1_000_000_000
"""By how many ids `db restored` moves a counter: as many as it has given out, within these bounds."""
EARLIER_LIFE_ASKED_EVERY: Final = timedelta(seconds=10)
"""How long it is believed what was read of the life before a restore: less than an executor counts as alive."""

ON_TIME: Final = timedelta(seconds=2)
"""What comes no later than this is said to be on time."""

# -- lanes --------------------------------------------------------------------------------------------------
LEASE: Final = timedelta(seconds=30)
LEASE_RENEW_EVERY: Final = timedelta(seconds=10)
LEASE_MARGIN: Final = timedelta(seconds=5)
"""A send starts only while the lease has at least this much left."""
TARGET_IN_FLIGHT_DEFAULT: Final = 64
SLOT_HELD_MAX: Final = timedelta(seconds=10)
"""A request that is still open after this no longer counts against the target's pace: a hung agent delays nobody."""
RECORD_LATE: Final = timedelta(seconds=2)
"""An answer that took so long to be stored is told of: a kill meanwhile, and the prompt would have gone out again."""
LANES_ACTIVE_MAX: Final = 10_000
"""Lane runners alive at once in one process; those beyond wait in the database."""
LANES_PREFETCH: Final = 256
DELIVERIES_PER_TURN: Final = 16
"""Deliveries a lane may carry in one turn before it goes to the back of the queue."""

# -- lanes of a fleet ---------------------------------------------------------------------------------------
FLEET_LEASE: Final = timedelta(seconds=12)
"""How long a node keeps a lane, and its token, without a sign of life: what it held is taken over after that."""
FLEET_BEATS_PER_LEASE: Final = 3
"""Signs of life of a node within a lease: two may fail before it loses what it holds."""
FLEET_LOOKS_PER_LEASE: Final = 6
"""How often within a lease a node looks for tokens whose owner gives no sign of life; nobody signals that."""
FLEET_GRACES_PER_LEASE: Final = 4
"""After its start, or a time without the database, a node leaves others this part of a lease to say that they live."""
FLEET_PICK_MIN: Final = 16
"""Tokens that a node picks at once when it finds few: the rest is for nodes that look at the same moment."""
FLEET_PICK_MAX: Final = 128
"""The same where there are many: twice as many each time that it has found as many as it looked for."""
FLEET_CLAIMED_AT_ONCE_MAX: Final = 4
"""Lanes that a node claims as it plans; where more are due, each node has its part of them."""
FLEET_WAITING_PER_SLOT: Final = 2
"""Lane runners of one node that wait for a slot, for each slot that it has; LANES_PREFETCH bounds them too."""
FLEET_SWEEP_EVERY: Final = timedelta(seconds=30)
FLEET_SWEEP_BATCH: Final = 1000
"""Lanes looked at in one transaction of the sweep."""
FLEET_LOOK_BACK: Final = timedelta(seconds=5)
"""A lane that came due while its writer's transaction was open is found within this."""
FLEET_LOOK_GAP: Final = timedelta(milliseconds=50)
"""Between two looks for what comes due next: lanes that end close together share one."""
FLEET_CONNECT_FOR: Final = timedelta(seconds=5)
FLEET_CONNECT_GAP_MAX: Final = timedelta(seconds=1)
"""Longest pause between two tries to reach the database again."""
OUTAGE_TOLD_EVERY: Final = timedelta(minutes=1)
"""How often the log says again that the database is away, where a node tries several times a second."""
TAKE_OVERS_TOLD_WITHIN: Final = timedelta(seconds=2)
"""How long the log gathers what was taken over from an executor: a node's lanes come within a moment."""
FLEET_STATEMENT_FOR: Final = timedelta(seconds=5)
"""How long a statement about tokens may take; the connection is given up a little later."""
FLEET_LOCK_FOR: Final = timedelta(seconds=2)
FLEET_LISTEN_CHECK_EVERY: Final = timedelta(seconds=5)
"""How often a connection that only listens is asked whether it is alive."""

# -- executor -----------------------------------------------------------------------------------------------
HEARTBEAT_EVERY: Final = timedelta(seconds=10)
EXECUTOR_ALIVE_FOR: Final = timedelta(seconds=30)
"""An executor whose heartbeat is older is counted as gone."""
CHANGE_POLL_EVERY: Final = timedelta(milliseconds=200)
CLOCK_STEP_MIN: Final = timedelta(seconds=1)
"""Wall and monotonic clock may part by this much between two looks before it is called a step."""
CLOCK_LOOK_EVERY: Final = timedelta(seconds=30)
"""The longest sleep of a timer that is set for an instant: the clock may have been set meanwhile."""
CLOCK_SAMPLES: Final = 5
"""Answers of the database of which the quickest tells the time."""
CLOCK_MEASURED_EVERY: Final = timedelta(seconds=5)
"""How often a node of a fleet measures how far it is off the database's time."""
CLOCK_MEASURE_FOR: Final = timedelta(seconds=1)
"""How long a look at the clock waits for a new measurement, after the machine slept."""
LINK_CONNECT_FOR: Final = timedelta(seconds=3)
"""How long the connection that listens may take to be made."""
LINK_SILENT_FOR: Final = timedelta(seconds=10)
"""After which a database that answers nothing is taken to be gone."""
LINK_RETRY_MAX: Final = timedelta(seconds=1)
"""The longest pause between two tries to reach the database again."""
HEALTH_CALLS_MAX: Final = 16
"""Questions to a worker's health that are answered at once; further ones wait."""
HEALTH_CALL_FOR: Final = timedelta(seconds=10)
"""How long such a call may take in all."""
HOST_CLOCK_NOTED_BY: Final = timedelta(milliseconds=100)
"""A node says anew how far its host's clock is off when it has moved by so much."""
HOST_CLOCK_OFF_MAX: Final = timedelta(seconds=2)
"""A host whose own clock is further from the database's says so; deliveries do not go by it."""
STOP_FOR: Final = timedelta(seconds=20)
"""How long a stop waits for what is in flight before leases are returned and the rest is left to recovery."""
END_FOR: Final = timedelta(seconds=28)
"""How long a process of many doors takes to end, whatever hangs; service managers kill after 30 s."""
THREADS_END_FOR: Final = timedelta(seconds=1)
"""How long a process that has answered waits for its threads; one that hangs is left behind."""
INTERVAL_DEFAULT_S: Final = 60
WAIT_DEFAULT_S: Final = 30

# -- callbacks ----------------------------------------------------------------------------------------------
CALLBACK_TIME_MAX: Final = timedelta(seconds=10)
"""From the look-up of the name to the status line."""
CALLBACK_BYTES_MAX: Final = 1024 * 1024
"""Bytes of what is posted; the agent's messages are left out when they are longer."""
CALLBACK_ATTEMPTS_MAX: Final = 12
"""Two hours, more or less."""
CALLBACK_BACKOFF_FIRST: Final = timedelta(seconds=10)
CALLBACK_BACKOFF_MAX: Final = timedelta(minutes=30)
CALLBACK_LEASE: Final = timedelta(seconds=60)
"""How long an executor keeps a callback to itself; one that dies with it is posted again after this."""
CALLBACKS_AT_ONCE: Final = 8
CALLBACK_LOOK_EVERY: Final = timedelta(seconds=30)
"""How often callbacks are looked for that another process, now gone, has left."""
CALLBACK_DRAIN_FOR: Final = timedelta(seconds=10)
"""How long a single pass waits for the callbacks of what it has delivered."""

# -- replies ------------------------------------------------------------------------------------------------
REPLY_LINE_CHARS_MAX: Final = 300
"""Characters of a last line that may hold directives; a longer one is prose."""
REPLY_NONCE_CHARS: Final = 8

# -- breaker and pace ---------------------------------------------------------------------------------------
BREAKER_REFUSALS: Final = 3
BREAKER_PROBE_FIRST: Final = timedelta(seconds=1)
BREAKER_PROBE_MAX: Final = timedelta(seconds=30)
TARGET_RECORD_LOOKED_AT_EVERY: Final = timedelta(seconds=30)
"""How often, at most, a node whose prompts are taken sees whether their target is recorded as one that refuses all."""
PACE_AFTER_OUTAGE: Final = 4
"""In-flight cap right after a target came back; it doubles with every cap's worth of successes."""

# -- guard: schedules owned by agents -----------------------------------------------------------------------
AGENT_SCHEDULES_ACTIVE_MAX: Final = 100
AGENT_PERIOD_MIN: Final = timedelta(seconds=60)
AGENT_CREATIONS_PER_HOUR_MAX: Final = 60
AGENT_DELIVERIES_PER_HOUR_MAX: Final = 120
AGENT_DESCENDANTS_MAX: Final = 50
AGENT_PROMPT_BYTES_MAX: Final = 64 * 1024
AGENT_CONTENT_BYTES_MAX: Final = 1024 * 1024
"""Bytes of the content as JSON; its texts count as a prompt's do."""

# -- store --------------------------------------------------------------------------------------------------
LIST_MAX: Final = 10_000
RETENTION_DEFAULT: Final = timedelta(days=30)
RETENTION_BATCH: Final = 1000
RETENTION_BATCHES_MAX: Final = 1000
"""Batches of one hour's retention; what is left goes with the next."""
STORE_BUSY_FOR: Final = timedelta(seconds=10)
STORE_GONE_FOR: Final = timedelta(seconds=30)
"""How long a scheduler waits for a database that was deleted, moved or replaced; then it ends with an error."""
WRITES_PER_COMMIT_MAX: Final = 512
WRITES_QUEUED_MAX: Final = 20_000
ROUND_FOR: Final = timedelta(milliseconds=50)
"""How long threads hand a shared transaction on before one commits it for all."""
LOAN_FOR: Final = timedelta(seconds=60)
"""How long one thread may keep the shared transaction while others wait: ten thousand schedules take seconds."""
READERS_MAX: Final = 4
"""Reading connections that a process opens to one database."""
MOVE_ROWS_PER_COMMIT: Final = 10_000
"""Rows of one table that a move of a database stores at once: what a kill makes it copy again."""
MOVE_WAIT: Final = timedelta(seconds=60)
"""How long a move waits for requests that are open: twice a lease, so that a dead executor's are waited out."""

# -- store on PostgreSQL ------------------------------------------------------------------------------------
POSTGRES_VERSION_MIN: Final = 15
POSTGRES_CONNECTIONS_MAX: Final = 12
"""Connections of one process for transactions; one more watches, and one listens."""
POSTGRES_CONNECT_FOR: Final = timedelta(seconds=5)
"""How long a connection may take to be made, each address of the host by itself."""
POSTGRES_START_FOR: Final = timedelta(seconds=60)
"""How long a service that starts waits for a server that does not answer yet; then it ends with an error."""
POSTGRES_START_AGAIN: Final = timedelta(seconds=3)
"""Between two tries of that."""
POSTGRES_LOCK_FOR: Final = timedelta(seconds=10)
"""How long a statement waits for a lock: longer than a stopped process can keep one."""
POSTGRES_IDLE_IN_TRANSACTION_FOR: Final = timedelta(seconds=8)
"""How long a transaction may stand still between two statements; then the server undoes it."""
POSTGRES_STATEMENT_FOR: Final = timedelta(seconds=60)
POSTGRES_SILENT_FOR: Final = timedelta(seconds=15)
"""How long what was sent may stay without a sign of life from the server's machine."""
MIGRATIONS_FOR: Final = timedelta(minutes=10)
"""How long a node waits for another's migrations, and how long one statement of its own may take."""
MIGRATION_LOCK_FOR: Final = timedelta(seconds=2)
"""How long a migration waits for a table, and holds up whatever is asked of it; others wait longer than that."""
MIGRATION_PAUSE: Final = timedelta(seconds=1)
"""How long it then lets them pass."""
MIGRATION_TRIES: Final = 5
"""Together longer than a stopped process can keep a lock."""

# -- doors that serve many ----------------------------------------------------------------------------------
DOOR_THREADS_MAX: Final = 32
"""Commands of one door that operators have carried out at once, and as many agents; further callers wait."""
AGENT_THREADS_MAX: Final = 2
"""Of these, the commands of one agent; its further ones wait for them."""
AGENT_CALLS_MAX: Final = 64
"""Commands of one agent at one door, at work or waiting; further ones are refused."""
READINESS_KEPT_FOR: Final = timedelta(seconds=1)
"""How long one look at a service's readiness answers all who ask."""
PLANNER_LATE: Final = timedelta(seconds=30)
"""A schedule that is due for longer, and not planned, makes a service unready."""
LANE_STUCK: Final = timedelta(minutes=5)
"""So does a lane that could have been worked on for so long, and was not."""
CLOCK_STEP_TOLD_FOR: Final = timedelta(minutes=1)
"""How long a service says that its clock was set."""
AGENT_SEEN_FOR: Final = timedelta(seconds=60)
"""How long a process that serves many takes Letta's word that there is such an agent."""
AGENTS_SEEN_MAX: Final = 10_000
DOORS_STOP_FOR: Final = timedelta(seconds=5)
"""How long a stop waits for open requests; streams end by themselves at once."""
KEEP_ALIVE_FOR: Final = timedelta(seconds=30)
"""How long a connection without a request is kept."""
HEAD_FOR: Final = timedelta(seconds=20)
"""How long the line and headers of a request may be on the way; also the first of a connection."""
CONNECTIONS_MAX: Final = 1000
"""Connections open at once, streams counted; further ones are closed."""
REQUEST_HEAD_BYTES_MAX: Final = 32 * 1024
"""Bytes of a request's line and headers together."""
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a request's body: a prompt of an operator, escaped."""
LARGE_BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one that brings many schedules."""
PASSED_BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one that goes through to Letta: it may bring files."""
DRAIN_BYTES_MAX: Final = 64 * 1024 * 1024
DRAIN_FOR: Final = timedelta(seconds=5)
"""How much of a body that is too large is read and thrown away, so that its sender sees the refusal."""
BODY_FOR: Final = timedelta(seconds=30)
LARGE_BODY_FOR: Final = timedelta(minutes=5)
"""How long a request's body may be on the way."""
ANSWER_FOR: Final = timedelta(seconds=60)
LARGE_ANSWER_FOR: Final = timedelta(minutes=5)
"""How long a request may take until its answer begins."""
SENDING_FOR: Final = timedelta(seconds=60)
"""How long a reader may take over an answer that is no stream."""
REQUESTS_AT_WORK_MAX: Final = 256
"""Requests at work at once, streams not counted; further ones are told to come again."""
CALLERS_KNOWN_MAX: Final = 10_000
"""Callers whose pace is kept in memory."""
OPERATOR_REQUESTS_PER_S: Final = 2000.0
OPERATOR_REQUESTS_BURST: Final = 4000
AGENT_REQUESTS_PER_S: Final = 20.0
AGENT_REQUESTS_BURST: Final = 200
STRANGER_REQUESTS_PER_S: Final = 20.0
STRANGER_REQUESTS_BURST: Final = 200
"""Of one address, together, by whoever presents nothing or something unknown."""
HTTP_TEXT_CHARS_MAX: Final = 8192
"""Characters of a text in a request that is no prompt; what it means has bounds of its own."""
HTTP_WAIT_S_MAX: Final = 60
"""Seconds that a pass asked for over HTTP may follow the agents' runs."""
PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1000
"""Items of one page of a list."""
IDEMPOTENCY_KEY_CHARS_MAX: Final = 200
IDEMPOTENCY_FOR: Final = timedelta(hours=24)
"""How long a request that was answered is remembered by its Idempotency-Key."""
ORDER_BYTES_MAX: Final = 10 * 1024 * 1024
"""Bytes of a request to Letta's schedule routes: a content with its images, and room around it."""
REPEATED_FOR: Final = timedelta(minutes=5)
"""How long a creation whose caller hung up before the answer waits for the repeat of it."""
REPEATS_KEPT_MAX: Final = 1000
SCHEDULED_PAGE_DEFAULT: Final = 50
SCHEDULED_PAGE_MAX: Final = 200
"""Schedules, or receipts, of one page of Letta's schedule routes; whoever asks for more gets so many."""
PASSAGE_CONNECT_S: Final = 10.0
"""Seconds that a request on its way to Letta waits for a connection."""
PASSAGE_IDLE_S: Final = 3600.0
"""Seconds of silence after which a passage is given up: a blocking message is silent until the agent has finished."""
PASSAGE_CONNECTIONS_MAX: Final = 256
PASSAGE_HEADER_BYTES_MAX: Final = 64 * 1024
"""Bytes of one header of Letta's answer."""

EVENTS_PER_PAGE: Final = 500
"""Facts of the journal read at once."""
EVENTS_KEPT: Final = 2000
"""Newest facts kept in memory while somebody follows the journal; who is further behind reads the database."""
EVENTS_BEAT_EVERY: Final = timedelta(seconds=15)
"""A stream without events says that it lives, and its reader is asked for its token's standing, this often."""
EVENTS_SEND_FOR: Final = timedelta(seconds=30)
"""A reader that takes nothing for so long is let go; it resumes by the last id it saw."""
EVENTS_RETRY: Final = timedelta(seconds=2)
"""After which a reader that was let go is asked to come back."""
EVENT_STREAMS_MAX: Final = 100
EVENT_STREAMS_PER_CALLER_MAX: Final = 16
JOURNAL_LOOKED_AT_MAX: Final = 10_000
"""Facts looked at for one answer of `journal`."""
BULK_SCHEDULES_MAX: Final = 10_000
BULK_FAULTS_SHOWN_MAX: Final = 20
BULK_WARNINGS_MAX: Final = 20
BULK_READ_FOR: Final = timedelta(seconds=60)
"""How long the rules of one request may take to read; it is refused then, and is to be split."""
MCP_CALL_MAX: Final = timedelta(seconds=30)
"""How long a call of a tool is waited for; what it has begun to store is finished and stored all the same."""
MCP_CALLS_MAX: Final = 256
"""Calls of tools that one process has in progress at once; further ones are refused."""
MCP_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of one MCP request: a prompt of PROMPT_BYTES_MAX in JSON, with room for what JSON escapes."""
MCP_ANSWER_CHARS_MAX: Final = 100_000
"""Characters of prompts in one answer; a list that would hold more ends earlier, and says so."""
MCP_ROWS_MAX: Final = 50
"""Schedules, deliveries, sentences or messages in one answer."""
MCP_EXCERPT_CHARS_MAX: Final = 200
"""Characters of a prompt in a list."""
ON_TIME_WAITING_MAX: Final = 100
"""Deliveries that wait for an agent which are counted."""

# -- tokens and claims --------------------------------------------------------------------------------------
TOKENS_LIVE_MAX: Final = 10_000
TOKEN_LIFE_MAX: Final = timedelta(days=3660)
"""The longest that a token with an end may live; one without an end lives until it is revoked."""
TOKEN_USE_NOTED_EVERY: Final = timedelta(minutes=1)
TOKENS_CACHED_MAX: Final = 1024
BEARER_CHARS_MAX: Final = 1024
"""A longer bearer is nobody's key; it is refused unread."""
FAILURES_PER_ADDRESS_MAX: Final = 20
FAILURES_FORGOTTEN_AFTER: Final = timedelta(minutes=1)
"""So many refused attempts of one address within this span; then the answer is to wait."""
ADDRESSES_WATCHED_MAX: Final = 4096
KEYS_TIMEOUT: Final = timedelta(seconds=2)
KEYS_KNOWN_FOR: Final = timedelta(seconds=60)
"""How long a key that Letta let in is not asked about again."""
KEYS_REFUSED_FOR: Final = timedelta(seconds=10)
"""The same of a key that Letta refused, and of a Letta that lets everybody in."""
KEYS_CACHED_MAX: Final = 256
KEYS_ASKED_MAX: Final = 8
"""Questions about keys that are open at Letta at once."""
CLAIM_KEY_CHARS_MAX: Final = 200
CLAIM_FOR_DEFAULT: Final = timedelta(days=30)
CLAIM_FOR_MAX: Final = timedelta(days=366)
CLAIMS_LIVE_MAX: Final = 10_000
"""Keys that one agent may hold at once."""

# -- tools inside Letta -------------------------------------------------------------------------------------
TOOL_CALL_FOR: Final = timedelta(seconds=20)
"""How long a custom tool waits for our answer, in all."""
TOOL_ANSWER_BYTES_MAX: Final = 1024 * 1024
ATTACH_ASK_FOR: Final = timedelta(seconds=5)
"""How long `letta attach` waits for each answer of our own service."""
ATTACH_TOOLS_MAX: Final = 64
"""Tools that the service may offer to agents."""
ATTACH_AGENT_PAGES_MAX: Final = 100
"""Pages of 100 agents that are looked through for users of a tool; with more agents its definition stays."""

# -- in and out ---------------------------------------------------------------------------------------------
IMPORT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of a file to import; prompts are long."""
IMPORT_ENTRIES_MAX: Final = 10_000
"""Schedules in one import: one transaction, seconds long."""
IMPORT_LINES_MAX: Final = 100_000
IMPORT_NAME_CHARS_MAX: Final = 80
"""A comment above a crontab's line that is longer is no name."""
IMPORT_AGENTS_CHECKED_MAX: Final = 50
"""Agents that Letta is asked about in one import."""
FEED_EVENTS_MAX: Final = 5000
FEED_FIRES_MAX: Final = 50_000
"""Fire times of one schedule that a feed looks at, skipped ones included."""
FEED_SPAN_DEFAULT: Final = timedelta(days=30)
FEED_SPAN_MAX: Final = timedelta(days=366 * 2)
CALENDAR_BYTES_MAX: Final = 2 * 1024 * 1024
CALENDAR_EVENTS_MAX: Final = 5000
CALENDAR_RULES_MAX: Final = 200
"""Recurring events of one calendar."""
CALENDAR_SPANS_MAX: Final = 10_000
"""Days and times that a calendar's events come to."""
CALENDAR_SPANS_OF_EVENT_MAX: Final = 4100
"""Of one recurring event: each day of CALENDAR_YEARS and the year before."""
CALENDAR_DEPTH_MAX: Final = 8
CALENDAR_ZONES_MAX: Final = 64
"""Different names of zones; each unknown part of one costs a look at the disk."""
CALENDAR_YEARS: Final = 10
"""Recurring events are worked out up to the beginning of the year so many years from now."""
CALENDAR_ENDS_SOON: Final = timedelta(days=60)
CALENDARS_KEPT_MAX: Final = 64
"""Calendars that a process keeps in memory."""
