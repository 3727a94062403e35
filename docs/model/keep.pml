/* keep.pml -- checkpoints, the base of the kept past, and the files that go (spin 6.5).
 *
 * Two processes; each, ROUNDS times in all: makes a checkpoint and lets go of what is older than some sequence (compact_to),
 * or only makes one (checkpoint_bus, the keeper's first half); or looks for the newest checkpoint beside them (first_good).
 * Before each round one more record may be committed.  A killer (SIGKILL between any two steps; the lock is free then),
 * a power cut at any instant (what was not synced is there or not: names, contents, header, each by itself), and who opens after it.
 * A record is a segment of its own here.  A checkpoint's number is the sequence as of which it is.
 *
 * Always: the present can be rebuilt, also without the newest checkpoint; whatever the header says is kept can be viewed.
 *
 * Without any -D it is src/state/{checkpoints,retention,header}.cpp; each -D takes one rule away and must give a counterexample:
 *
 *   DROP_FIRST       files go before the header names the base          (killed: it says that they are kept)
 *   HEADER_UNSYNCED  files go before the header is synced               (power cut: as before)
 *   HEADER_READ      the header is not synced by who takes it over      (its writer was killed before: the same)
 *   NO_ADOPT         what the header says is not taken over first       (its writer was killed: the base is removed as needless)
 *   CONTENT_UNSYNCED a checkpoint has its name before it is synced
 *   NAME_UNSYNCED    its name counts before it is synced                (its writer was killed before he had synced it)
 *   AHEAD            a base is written ahead of the durable log         (power cut: a hole in the log behind an older base)
 *   NEWEST           the newest checkpoint may be the base              (no way back when it is damaged)
 *   NEEDLESS_BASE    the base is not spared when needless ones go
 *   NEW_FIRST        the newest segments go first                       (killed: a log with a hole)
 *   DROP_UNSYNCED    the folder is not synced before each segment goes  (power cut: the same)
 *   DROP_AFTER       it is synced after each instead                    (killed in between, and a power cut in the next one's: the same)
 *   NO_RETRY         what was listed and is gone is "no checkpoint"     (removed meanwhile by who compacts)
 *   THREE_HOLDS      the past is looked at without the lock              (it is gone meanwhile)
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef N
#define N 3            /* records */
#endif
#define FREE 255
#define NONE 255

/* ---- shared memory: gone at a power cut ---- */
byte logged = 1, durable = 0;           /* records                                             */
byte history = 0;                       /* history_sequence, history_lsn                       */

/* ---- files.  c: what calls see; d: what the disk has ---- */
bool segc[N+1] = true, segd[N+1] = true; /* names in log/ (segments are there before their record) */
bool recd[N+1];                         /* the record's bytes are on the disk                  */
bool chkc[N+1], chkd[N+1], chks[N+1];   /* names in checkpoints/; contents synced              */
byte hc[2], hd[2];                      /* the bus file's copies: the base; higher is newer    */

byte lock = FREE, kills = KILLS, rounds = ROUNDS;
bool killed[2], gone[2], off = false;

#define MAX(x, y) ((x) < (y) -> (y) : (x))
#define BASE MAX(hc[0], hc[1])

/* what is removed is never missed: looked at after each removal, and by who opens */
inline see_history() {                  /* kept: from `base` on.  The base itself is a checkpoint (or the beginning), all records behind it are there */
	d_step { i = BASE;
	assert(i == 0 || chkc[i]);
	i++;
	do :: i <= logged -> assert(segc[i]); i++ :: else -> break od; i = 0 }
}

inline newest_known(k) {                /* checkpoint_files().back() */
	d_step { k = N; do :: k > 0 && !chkc[k] -> k-- :: else -> break od }
}

inline sync_segments() {                /* log_folder->sync() */
	d_step { j = 1; do :: j <= N -> segd[j] = segc[j]; j++ :: else -> break od; j = 0 }
}

inline sync_header() { d_step { hd[0] = hc[0]; hd[1] = hc[1] } }

inline finish_compaction() {
#if !defined(HEADER_READ) && !defined(HEADER_UNSYNCED)
	sync_header();                          /* whoever wrote what we read may have been killed before he had synced it */
#endif
	/* drop_before: the oldest first, the folder synced before each */
#ifdef NEW_FIRST
	i = base;
	do
	:: i > 0 -> if :: segc[i] -> sync_segments(); segc[i] = false :: else fi; i--
	:: else -> break
	od;
#else
	i = 1;
	do
	:: i <= base ->
		if
		:: segc[i] ->
#if !defined(DROP_UNSYNCED) && !defined(DROP_AFTER)
			sync_segments();
#endif
			segc[i] = false;
#ifdef DROP_AFTER
			sync_segments()
#endif
		:: else
		fi;
		i++
	:: else -> break
	od;
#endif
	i = 1;
	do
	:: i < base -> if :: chkc[i] -> chkc[i] = false :: else fi; i++
	:: else -> break
	od;
	i = 0
}

inline sync_names() {                   /* checkpoints->sync() */
	d_step { i = 1; do :: i <= N -> chkd[i] = chkc[i]; i++ :: else -> break od; i = 0 }
}

inline sync_log(to) {                   /* flush(Flush::sync, to) */
	d_step { i = 1; do :: i <= to -> recd[i] = true; i++ :: else -> break od; durable = MAX(durable, to); i = 0 }
}

/* write_checkpoint_in, `at`; ahead: the log is not synced */
inline write_checkpoint(at) {
#ifndef AHEAD
	sync_log(at);
#endif
#ifndef CONTENT_UNSYNCED
	if :: !chkc[at] -> chks[at] = true :: else fi;  /* sync_data, under another name */
#endif
	chkc[at] = true;                        /* publish; taken: that one stays */
	sync_names()
}

inline adopt_base() {
#ifndef NO_ADOPT
	if
	:: base > history -> history = base; finish_compaction()
	:: else
	fi
#else
	skip
#endif
}

inline move_base(to) {
	if
	:: to > history ->
#ifndef NAME_UNSYNCED
		sync_names();                   /* whoever made it may have been killed before he had synced its name */
#endif
#ifdef DROP_FIRST
		base = to; finish_compaction();
#endif
		/* update_header: the copy that does not count, then the other, each synced */
		sync_header();                  /* (for its other fields: of the base, adopt_base has done it) */
		d_step { j = (hc[0] < hc[1] -> 0 : 1); hc[j] = to }
#ifndef HEADER_UNSYNCED
		hd[j] = hc[j];
#endif
		hc[1-j] = to;
#ifndef HEADER_UNSYNCED
		hd[1-j] = hc[1-j];
#endif
		d_step { base = to; j = 0 }
		history = to;                   /* adopt_base */
		finish_compaction()
	:: else
	fi;
	see_history()
}

proctype Process(byte me) {
	byte base, oldest, k, i, j; bool compact;
start:	{
	do
	:: atomic { rounds > 0 -> rounds--;
		if :: logged < N -> logged++ :: skip fi }
		atomic { lock == FREE -> lock = me }            /* lock_checkpoints */
		if :: compact = true :: compact = false fi;
		if
		:: compact ->
			/* ---- compact_to(oldest) ---- */
			base = BASE;                            /* refresh_header */
			adopt_base();
			d_step { oldest = history }
			do :: oldest < logged -> oldest++ :: break od;
#ifdef THREE_HOLDS
			lock = FREE;
#endif
			k = history + 1;                        /* oldest_to_keep walks the log to find it */
			do :: k <= oldest -> assert(segc[k]); k++ :: else -> break od;
			k = 0;
#ifdef THREE_HOLDS
			atomic { lock == FREE -> lock = me }
#endif
			if
			:: !chkc[oldest] && oldest != logged && oldest > history ->     /* write_base: image_at(oldest) replays the past */
				d_step { k = oldest; do :: k > 0 && !chkc[k] -> k-- :: else -> break od;
				k++; do :: k <= oldest -> assert(segc[k]); k++ :: else -> break od; k = 0 }
				write_checkpoint(oldest)
			:: else
			fi;
			/* checkpoint_locked: another one in front of it */
			newest_known(k);
			if :: k == logged :: else -> k = logged;
				sync_log(k);
#ifndef CONTENT_UNSYNCED
				chks[k] = true;
#endif
				chkc[k] = true;
				sync_names()
			fi;
			d_step { k = oldest;
#ifdef NEWEST
			do :: k > 0 && !chkc[k] -> k-- :: else -> break od
#else
			j = N; do :: j > 0 && !chkc[j] -> j-- :: else -> break od;     /* not the newest */
			do :: k > 0 && (!chkc[k] || k == j) -> k-- :: else -> break od; j = 0
#endif
			}
			if :: k > 0 -> move_base(k) :: else fi;
			/* let_go: all but the last two, and the base, are needless */
			k = 1;
			do
			:: k < N ->
				d_step { i = k + 1; j = 0; do :: i <= N -> if :: chkc[i] -> j++ :: else fi; i++ :: else -> break od; i = 0;
				if
#ifdef NEEDLESS_BASE
				:: chkc[k] && j > 1 -> j = 1
#else
				:: chkc[k] && j > 1 && k != history -> j = 1
#endif
				:: else -> j = 0
				fi }
				if :: j == 1 -> chkc[k] = false; j = 0; see_history() :: else fi;
				k++
			:: else -> break
			od
		:: else ->
			/* ---- checkpoint_bus ---- */
			newest_known(k);
			if :: k == logged :: else -> k = logged;
				sync_log(k);
#ifndef CONTENT_UNSYNCED
				chks[k] = true;
#endif
				chkc[k] = true;
				sync_names()
			fi
		fi;
		lock = FREE;
		d_step { base = 0; oldest = 0; k = 0; i = 0; j = 0; compact = false }
	:: rounds == 0 -> gone[me] = true; break
	od
	} unless { atomic { killed[me] || off } };
	if
	:: d_step { killed[me] && !off -> killed[me] = false; base = 0; oldest = 0; k = 0; i = 0; j = 0; compact = false } goto start
	:: d_step { off -> gone[me] = true; base = 0; oldest = 0; k = 0; i = 0; j = 0; compact = false }
	:: gone[me] && !off
	fi
}

active proctype Killer() {
endk:	do
	:: d_step { kills > 0 && !off && !gone[0] && !killed[0] -> kills--; killed[0] = true; if :: lock == 0 -> lock = FREE :: else fi }
	:: d_step { kills > 0 && !off && !gone[1] && !killed[1] -> kills--; killed[1] = true; if :: lock == 1 -> lock = FREE :: else fi }
	od
}

#ifdef LOOKER
/* newest_checkpoint, newest_structure: first_good.  Takes no lock: join, a View, whoever follows the log again after a cut */
active proctype Looker() {
	byte base, n, i; bool list[N+1], there;
again:	base = BASE;                            /* as it last knew it: at most as new as this */
	d_step { i = 1; do :: i <= N -> list[i] = chkc[i]; i++ :: else -> break od }
	n = N;
	do
	:: n > 0 && list[n] -> 
		if
		:: chkc[n] -> there = true; break       /* opened: it stays readable */
		:: else ->
#ifdef NO_RETRY
			n--
#else
			goto again
#endif
		fi
	:: n > 0 && !list[n] -> n--
	:: n == 0 -> break
	od;
	if
	:: there
	:: else ->
#ifndef NO_RETRY
		if :: base != BASE -> goto again :: else fi;    /* refresh_header: the base has moved */
#endif
		assert(base == 0)                       /* "no good checkpoint leads there" */
	fi
}
#endif

#ifdef POWER
active proctype Power() {
	byte i, b, x, top;
endp:	atomic {
	!off -> off = true;
	i = 1;
	do
	:: i <= N ->
		if :: segc[i] != segd[i] -> if :: segd[i] = segc[i] :: skip fi :: else fi;
		if :: !recd[i] && i <= logged -> if :: recd[i] = true :: skip fi :: else fi;
		if :: chkc[i] != chkd[i] -> if :: chkd[i] = chkc[i] :: skip fi :: else fi;
		if :: chkd[i] && !chks[i] -> if :: chks[i] = true :: skip fi :: else fi;
		i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < 2 -> if :: hd[i] != hc[i] -> if :: hd[i] = hc[i] :: hd[i] = 0 :: skip fi :: else fi; i++      /* new, torn, old */
	:: else -> break
	od;
	/* who opens: the header, the newest good checkpoint (pass 1) and the one before (pass 2: it is damaged), the log behind it */
	b = MAX(hd[0], hd[1]);
	/* segments: their ids follow one another */
	i = 1; do :: i <= N && !segd[i] -> i++ :: else -> break od;
	top = i;
	do :: i <= N && segd[i] -> i++ :: else -> break od;
	do :: i <= N -> assert(!segd[i]); i++ :: else -> break od;
	x = N; do :: x > 0 && !(chkd[x] && chks[x]) -> x-- :: else -> break od;
	assert(!(chkd[x] && !chks[x]));
	assert(x != 0 || b == 0);
	assert(x >= b);
	assert(x == 0 -> top == 1 : (top <= x + 1));             /* the log behind it is there, from its first record on */
	/* what is kept: the base and all records behind it that the disk promised */
	assert(b == 0 || (chkd[b] && chks[b]));
	i = b + 1; do :: i <= durable || i <= x -> assert(segd[i] && recd[i]); i++ :: else -> break od;
	/* the newest is damaged: the one before leads there */
	if :: x > 0 -> assert(b < x) :: else fi;
	i = 0; b = 0; x = 0; top = 0 }
}
#endif

active proctype Monitor() { timeout -> assert(gone[0] && gone[1]); assert(off || lock == FREE) }

init { atomic { run Process(0); run Process(1) } }
