/* attach.pml -- who opens a bus, who joins, who leaves last, and what a log's close record may say (spin 6.5).
 *
 * P processes; OPENS openings in all, by any of them.  Each opens the bus, may commit once (and flush or sync), leaves.
 * A killer (SIGKILL between any two steps; the kernel then lets go of the dead one's two locks in any order, one by one),
 * a power cut, and the memory of the arena that is gone while nobody has the bus open (LOST: a container's tmpfs).
 * A commit, a write and a sync are one step each here: commit.pml takes them apart.
 *
 * Without any -D it is src/state/open.cpp; each -D takes one rule away and must give a counterexample:
 *
 *   OPEN_UNLOCKED   openers do not take lock.open                        (one recovers for ever, or two do)
 *   LEAVE_UNLOCKED  the last one leaves without lock.open                (his close record lies beside commits of the next)
 *   NO_WAIT         neither EX nor SH: "open elsewhere", at once         (who held it is dead, and not yet closed)
 *   PUBLISH_EARLY   the new arena has its name before it is rebuilt      (the next opener believes a half-made one)
 *   DIRTY_LATE      `clean` is cleared once others may join              (killed behind a commit: the arena says that it was left cleanly)
 *   KEEP_UNSYNCED   what was rebuilt counts as durable without a sync    (nobody syncs it later: lost behind an acknowledged commit)
 *   CLOSE_UNSYNCED  the close record is written together with what it promises     (a power cut keeps the promise only)
 *   CLEAN_BY_RECORD a log that ends with a close record was left cleanly (commits behind it that no disk has: lost, and nobody is told)
 *   TRIM_LATE       the room is given back before `prepared` says so     (the next one commits without asking for room: as before)
 *   GROW_UNSYNCED   the room behind a close record is not synced         (the file still ends with it: as before)
 *   KEEP_TAIL       a torn tail's segment is appended to                 (what lay behind comes back, with another's place)
 */
#ifndef P
#define P 2
#endif
#ifndef OPENS
#define OPENS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define N (3 * OPENS)  /* records that the log has room for */
#define T (N + 1)      /* tokens: records ever appended     */
#define FREE 255
#define COMMIT 1
#define CLOSE 2
#define INCARNATION 3

/* ---- ghosts ---- */
byte tok = 0, kind[T], at[T], stamp[T];  /* stamp: `durable`, as the writer saw it; a close record's: itself */
bool ackp[T], ackd[T];                  /* acknowledged: process, sync                  */
byte hist[N+1];                         /* the record that was last logged there        */
byte kills = KILLS, left = OPENS, power = 0, lost = 0;
bool killed[P], gone[P];
byte has[P];                            /* the arena, + 1, on which it may commit       */

/* ---- the arenas: of the two, `named` has the name.  Each is a memory of its own ---- */
typedef Arena { byte ring[N+1]; byte logged, flushed, durable, prepared; bool clean, whole };
Arena A[2];
byte named = FREE;

/* ---- the locks: lock.open; <bus>/lock, exclusive and shared ---- */
byte opening = FREE, ex = FREE, sh = 0;

/* ---- the log's file: cache (survives kills), disk (survives power); and its size ---- */
byte c[N+1], d[N+1], cs = 0, ds = 0;

#ifdef POWER
#define MAYCUT 1
#else
#define MAYCUT 0
#endif

#ifdef CLEAN_BY_RECORD
#define ENDS true
#else
#define ENDS (cs == x)                  /* the file ends with it: nobody has prepared to append since */
#endif

inline append(k) {                      /* append_note, commit: `logged` = end */
	d_step { tok++; a = A[m].logged + 1; kind[tok] = k; at[tok] = a; A[m].ring[a] = tok;
		hist[a] = tok;
		if :: k == INCARNATION -> t = a + 1; do :: t <= N -> hist[t] = 0; t++ :: else -> break od :: else fi;
		stamp[tok] = (k == CLOSE -> A[m].logged : A[m].durable);
		A[m].logged = a; t = tok; a = 0 }
}
inline prepare() {                      /* flush.cpp, prepare; Segments::prepare */
	if
	:: A[m].logged + 1 > A[m].prepared ->
		cs = N;
#ifdef GROW_UNSYNCED
		A[m].prepared = N
#else
		d_step { ds = cs; A[m].prepared = N }  /* it is a file's size: a sync of it is asked for only where nothing was prepared */
#endif
	:: else
	fi
}
inline write() {                        /* flush_locked, up to `flushed` = to: into prepared room only */
	d_step { a = A[m].flushed + 1;
		do :: a <= A[m].logged -> c[a] = A[m].ring[a]; assert(a <= cs); a++ :: else -> break od;
		A[m].flushed = A[m].logged; a = 0 }
}
inline sync() {                         /* flush_locked: the sync.  Segments below `durable` are not synced again */
	write();
	d_step { a = A[m].durable + 1;
		do :: a <= A[m].flushed -> d[a] = c[a]; a++ :: else -> break od;
		ds = cs; A[m].durable = A[m].flushed; a = 0 }
}

proctype Process(byte me) {
	byte m, x, a, t; bool clean, torn, fresh, alone;
start:	{
	do
	:: d_step { left > 0 -> left-- }
		/* ==== open_path ==== */
#ifndef OPEN_UNLOCKED
		atomic { opening == FREE -> opening = me }                      /* lock_for_opening */
#endif
		if                                                              /* presence: try_exclusive, else try_shared */
		:: atomic { ex == FREE && sh == 0 -> ex = me; alone = true }
		:: atomic { ex == FREE && sh != 0 -> sh = sh | (1 << me); alone = false }
		:: ex != FREE ->                                                /* neither */
#ifdef NO_WAIT
			assert(false);                                          /* ArenaElsewhere: in one place nobody is elsewhere */
#endif
			atomic { ex == FREE && sh == 0 -> ex = me; alone = true }
		fi;
		if
		:: alone && named != FREE ->                                    /* ---- open_alone, Found::good */
			m = named;
			d_step { assert(A[m].whole);
			/* what `clean` says: the log's end is a close record, and the disk has all of it */
			assert(!A[m].clean || (A[m].durable == A[m].logged && kind[A[m].ring[A[m].logged]] == CLOSE)) }
#ifndef DIRTY_LATE
			A[m].clean = false
#endif
		:: alone && named == FREE ->                                    /* ---- open_alone: a new arena, rebuilt from the log */
			d_step { m = (has[0] == 1 || has[P-1] == 1 -> 1 : 0);   /* memory that nobody has */
			a = 0; do :: a <= N -> A[m].ring[a] = 0; a++ :: else -> break od; a = 0;
			A[m].logged = 0; A[m].flushed = 0; A[m].durable = 0; A[m].prepared = 0; A[m].clean = false; A[m].whole = false }
#ifdef PUBLISH_EARLY
			named = m;
#endif
			d_step {                                                /* Rebuilder::run */
			x = 0; do :: x < cs && c[x+1] != 0 -> x++ :: else -> break od;
			torn = false; a = x + 1;
			do :: a <= N && a <= cs ->
				if :: c[a] != 0 -> torn = true; assert(stamp[c[a]] <= x)    /* find_promise: a power cut never looks like damage */
				:: else fi; a++
			:: else -> break od;
			fresh = (cs == 0);
			clean = x > 0 && kind[c[x]] == CLOSE && !torn && ENDS;
			a = 1; do :: a <= x -> assert(c[a] == hist[a]); A[m].ring[a] = c[a]; a++ :: else -> break od;
			/* recovery.needed, or not: who is told that nothing is missing has everything */
			a = 1; do :: a <= tok ->
				assert(!ackd[a] || (at[a] <= x && c[at[a]] == a));
				assert(!clean || !ackp[a] || (at[a] <= x && c[at[a]] == a));
				a++ :: else -> break od; a = 0 }
			d_step { A[m].logged = x; A[m].flushed = x; A[m].durable = x }  /* set_log_end */
#ifndef KEEP_UNSYNCED
			d_step { a = 1; do :: a <= x -> d[a] = c[a]; a++ :: else -> break od; ds = cs; a = 0 }     /* make_durable */
#endif
			if
#ifndef KEEP_TAIL
			:: !clean || fresh ->                                   /* start_segment: what lies behind is another segment's, superseded */
				d_step { a = x + 1; do :: a <= N -> c[a] = 0; d[a] = 0; a++ :: else -> break od; cs = x; ds = x; a = 0;
				cs = N; ds = N; A[m].prepared = N }
#endif
			:: else
			fi;
			prepare();
			append(INCARNATION);
			sync();
			d_step { a = 1; do :: a <= tok -> ackp[a] = ackp[a] && at[a] <= x && A[m].ring[at[a]] == a; a++ :: else -> break od; a = 0; A[m].whole = true }    /* told: the rest is missing */
			d_step { assert(named == FREE || named == m); named = m }       /* place.publish */
		:: else -> m = named; assert(m != FREE && A[m].whole)           /* ---- join: else ArenaElsewhere */
		fi;
		skip; d_step { t = 0; x = 0; torn = 0; fresh = 0; clean = 0 }
		if
		:: alone ->                                                     /* to_shared: flock may let go in between */
			ex = FREE;
			atomic { ex == FREE -> sh = sh | (1 << me) }
		:: else
		fi;
#ifdef DIRTY_LATE
		has[me] = m + 1;
#else
		skip; d_step { has[me] = m + 1; alone = 0 }
#endif
#ifndef OPEN_UNLOCKED
		opening = FREE;
#endif
#ifdef DIRTY_LATE
		if :: alone -> A[m].clean = false; alone = 0 :: else fi;
#endif
		/* ==== a commit, or none ==== */
		if
		:: skip
		:: skip; prepare();
			d_step { assert(named == m && ex == FREE) }             /* one arena for all, and nobody has it alone */
			append(COMMIT);
			ackp[t] = true;
			if
			:: skip
			:: write()                                              /* the timer's turn */
			:: sync(); ackd[t] = true                               /* Durability::sync */
			fi
		fi;
		t = 0;
		/* ==== close ==== */
#ifndef LEAVE_UNLOCKED
		atomic { opening == FREE -> opening = me }
#endif
		d_step { has[me] = 0; sh = sh & (7 - (1 << me)) }               /* presence.release */
		if
		:: atomic { ex == FREE && sh == 0 -> ex = me }                  /* try_exclusive: the last one */
#ifndef CLOSE_UNSYNCED
			sync();
#endif
			prepare();
			append(CLOSE);
#ifdef TRIM_LATE
			cs = (cs < A[m].logged -> cs : A[m].logged);
			A[m].prepared = A[m].logged;
#else
			A[m].prepared = A[m].logged;
			cs = (cs < A[m].logged -> cs : A[m].logged);            /* trim: the file ends where the log does, from the next sync on */
#endif
			sync();
			d_step { assert(has[0] == 0 && has[P-1] == 0); A[m].clean = true }
			ex = FREE
		:: atomic { ex != FREE || sh != 0 -> skip }                     /* not the last one */
			write()
		fi;
#ifndef LEAVE_UNLOCKED
		opening = FREE;
#endif
		d_step { m = 0; t = 0 }
	:: left == 0 -> gone[me] = true; break
	od
	} unless { killed[me] };
	if
	:: d_step { killed[me] -> has[me] = 0; m = 0; x = 0; a = 0; t = 0; clean = 0; torn = 0; fresh = 0; alone = 0 }
		/* the kernel closes the dead one's files, one after the other */
		if
		:: d_step { ex = (ex == me -> FREE : ex); sh = sh & (7 - (1 << me)) } d_step { opening = (opening == me -> FREE : opening) }
		:: d_step { opening = (opening == me -> FREE : opening) } d_step { ex = (ex == me -> FREE : ex); sh = sh & (7 - (1 << me)) }
		fi;
		killed[me] = false;
		goto start
	:: gone[me]
	fi
}

active proctype Killer() {
	byte k;
endk:	do
	:: d_step { kills > 0 && !gone[0] && !killed[0] -> kills--; killed[0] = true }
#if P > 1
	:: d_step { kills > 0 && !gone[1] && !killed[1] -> kills--; killed[1] = true }
#endif
	:: atomic { power < MAYCUT && left > 0 -> power++;                      /* all die, the arenas are gone */
		k = 0; do :: k < P -> killed[k] = killed[k] || !gone[k]; has[k] = 0; k++ :: else -> break od;
		opening = FREE; ex = FREE; sh = 0; named = FREE;
		if :: ds = cs :: skip fi;                                       /* the file's size; then block by block what was written */
		k = 1; do
		:: k <= N ->
			if :: k <= ds && d[k] != c[k] -> if :: d[k] = c[k] :: skip fi :: k > ds -> d[k] = 0 :: else fi;
			c[k] = d[k]; k++
		:: else -> break od;
		cs = ds; k = 0 }
#ifdef LOST
	:: d_step { lost < LOST && named != FREE && ex == FREE && sh == 0 && opening == FREE && has[0] == 0 && has[P-1] == 0 -> lost++; named = FREE }
#endif
	od
}

/* when nothing moves any more: everybody is through */
active proctype Monitor() {
	timeout -> assert(gone[0] && gone[P-1])
}

init { atomic { run Process(0); if :: P > 1 -> run Process(1) :: else fi } }
