/* structure.pml -- a page is looked for, by name or by id, and read, beside one who creates, deletes and moves pages (spin 6.5).
 *
 * The structure is the log: each process follows it into a catalog of its own (src/state/catalog.cpp) and then believes a line
 * of the page table only if the line says the same (stage.cpp, find_line; read.cpp).  Lines, places and names are used again.
 * The writer may be killed (and redone by the next) or stopped for ever at any step.  Appending is one step (see commit.pml).
 * One reader, any number of look-ups in a row, each of any kind, each strict: it answers as of a moment between its beginning
 * and its end, and a record counts from the moment when `logged` says so.
 *
 *   default    1: page 2 "B" is created;  2: page 1 "A" is deleted and page 3 "A" created, in one record;
 *              3: page 4 "C" is created in page 1's line and place;  4: page 2 is deleted
 *   -DRESIZE   1: page 1 "A" moves;  2: page 2 "B" is created where it was;  3: page 1 is updated;
 *              4: page 1 is deleted;  5: page 3 "A" is created in its line and place
 *
 * Each -D takes one rule away and must give a counterexample:
 *
 *   TABLE_FIRST      the table is asked before the log is followed          (logged, not applied: not found)
 *   NOT_LOOKED       "not found" is said while `structure` is busy          (the same)
 *   FOUND_UNLOOKED   a page is found while `structure` is busy              (with its name it has gone to another one)
 *   STRUCTURE_LATE   `structure` turns busy after `logged`                  (the same as NOT_LOOKED)
 *   IDLE_FIRST       recovery clears its busy bit before it redoes          (the same)
 *   PASS_OVER        who reads past `applied` takes what he meets for all before it      (pages that he never learns of)
 *   FORGET_DELETED   redo knows the lines of live pages only                (a deletion that is published cannot be redone)
 *   HINT_TRUSTED     a line that was right once is not asked for its id     (another page's bytes)
 *   ID_UNWATCHED     a new page's line is not busy while it is filled       (its id, and another page's bytes)
 *   SLOW_NO_CREATE   a slow read redoes no creation                         (logged, not applied: not found)
 *   SLOW_NO_DELETE   nor a deletion
 */
#ifndef KILLS
#define KILLS 1
#endif
#define NONE 0
#define CREATE 1
#define DELETE 2
#define UPDATE 3
#define MOVE 4

/* ---- the records: two pages at most ---- */
#ifdef RESIZE
#define N 5
#define OP1(n) (n == 1 -> MOVE : (n == 3 -> UPDATE : (n == 4 -> DELETE : CREATE)))
#define PG1(n) (n == 2 -> 2 : (n == 5 -> 3 : 1))
#define OP2(n) NONE
#define PG2(n) 0
#define BORN(p) (p == 1 -> 0 : (p == 2 -> 2 : (p == 3 -> 5 : 99)))
#define DIES(p) (p == 1 -> 4 : 99)
#define LINE(p) (p == 2 -> 1 : 0)
#define PLACE(p) (p == 2 -> 0 : 1)                      /* page 3's: where page 1 moved to; page 1's: where it moves to */
#define VALUE(p, s) (p == 1 -> (s >= 3 -> 13 : 10) : (p == 2 -> 22 : 35))
#else
#define N 4
#define OP1(n) (n == 2 || n == 4 -> DELETE : CREATE)
#define PG1(n) (n == 1 -> 2 : (n == 2 -> 1 : (n == 3 -> 4 : 2)))
#define OP2(n) (n == 2 -> CREATE : NONE)
#define PG2(n) (n == 2 -> 3 : 0)
#define BORN(p) (p == 1 -> 0 : (p == 2 -> 1 : (p == 3 -> 2 : 3)))
#define DIES(p) (p == 1 -> 2 : (p == 2 -> 4 : 99))
#define LINE(p) (p == 2 -> 1 : (p == 3 -> 2 : 0))
#define PLACE(p) (p == 2 -> 1 : (p == 3 -> 2 : 0))
#define VALUE(p, s) (p * 10 + BORN(p))
#endif
#define PAGES 4
#define NAME(p) (p == 1 || p == 3 -> 1 : (p == 2 -> 2 : 3))
#define LIVES(p, s) (BORN(p) <= s && s < DIES(p))

/* ---- shared memory ---- */
byte id[3] = 0, lsn[3] = 0, off[3] = 0, nextoff[3] = 0; /* the page table; lsn: 2 * record, + 1 = busy */
byte mem[3];                                            /* places                                      */
byte structure = 0;                                     /* 2 * the newest structural record, + 1 = busy */
byte logged = 0, applied = 0;
byte kills = KILLS;
bool killed, stopped, wdone, set = false;

#define BUSY(l) lsn[l] = lsn[l] - lsn[l] % 2 + 1

/* redo.cpp, apply_entry; l: the line */
inline apply_one(o, p, n) {
	if
	:: o == NONE || lsn[l] == 2 * n -> skip         /* redo: it has the record */
	:: else ->
#ifdef ID_UNWATCHED
		if :: o != CREATE -> BUSY(l) :: else fi;
#else
		BUSY(l);
#endif
		if
		:: o == CREATE ->
#ifdef ID_UNWATCHED
			id[l] = p; off[l] = nextoff[l]; mem[nextoff[l]] = VALUE(p, n)
#else
			mem[nextoff[l]] = VALUE(p, n); id[l] = p; off[l] = nextoff[l]
#endif
		:: o == DELETE -> id[l] = 0             /* its place and its line are free from the next record on */
		:: o == UPDATE -> mem[off[l]] = VALUE(p, n)
		:: o == MOVE ->
			if
			:: off[l] != nextoff[l] -> mem[nextoff[l]] = mem[off[l]]; off[l] = nextoff[l]
			:: else                         /* switched already */
			fi
		fi;
		lsn[l] = 2 * n
	fi
}
inline apply(n) {
	l = LINE(PG1(n)); apply_one(OP1(n), PG1(n), n);
	if :: OP2(n) != NONE -> l = LINE(PG2(n)); apply_one(OP2(n), PG2(n), n) :: else fi;
	l = 0;
	/* publish, apply_and_publish */
	if :: OP1(n) != UPDATE -> structure = 2 * n + structure % 2 :: else fi;
	structure = structure - structure % 2;
	applied = n
}
/* stage.cpp, take_place: before it is logged */
#define TAKES(o) (o == CREATE || o == MOVE)

active proctype Writer() {
	byte n, l;
	d_step { id[0] = 1; mem[0] = VALUE(1, 0);
#ifndef RESIZE
		off[0] = PLACE(1);
#endif
		set = true }
start:	{
	do
	:: logged > applied ->                          /* recover: the catalog first, then redo */
		n = logged;
		d_step {                                /* lines_of: line_for_redo, as far as `structure` leads */
		if
		:: OP1(n) == DELETE ->
#ifdef FORGET_DELETED
			assert(structure / 2 < n)       /* else: "a record names a page that is not there" */
#else
			skip
#endif
		:: else
		fi }
#ifdef IDLE_FIRST
		structure = structure - structure % 2;
#endif
		apply(n)
	:: logged == applied && (structure % 2 || lsn[0] % 2 || lsn[1] % 2 || lsn[2] % 2) ->   /* died before `logged`: forget_unlogged */
		l = 0; do :: l < 3 -> lsn[l] = lsn[l] - lsn[l] % 2; l++ :: else -> break od; l = 0;
		structure = structure - structure % 2
	:: logged == applied && structure % 2 == 0 && lsn[0] % 2 == 0 && lsn[1] % 2 == 0 && lsn[2] % 2 == 0 && logged < N -> n = logged + 1;
		d_step { if :: TAKES(OP1(n)) -> nextoff[LINE(PG1(n))] = PLACE(PG1(n)) :: else fi;
			if :: TAKES(OP2(n)) -> nextoff[LINE(PG2(n))] = PLACE(PG2(n)) :: else fi }
#ifndef STRUCTURE_LATE
		if :: OP1(n) != UPDATE -> structure = structure + 1 :: else fi;
#endif
#ifdef ID_UNWATCHED
		if :: OP1(n) != CREATE -> BUSY(LINE(PG1(n))) :: else fi;
#else
		BUSY(LINE(PG1(n)));
		if :: OP2(n) != NONE -> BUSY(LINE(PG2(n))) :: else fi;
#endif
		logged = n;
#ifdef STRUCTURE_LATE
		if :: OP1(n) != UPDATE -> structure = structure + 1 :: else fi;
#endif
		apply(n)
	:: logged == applied && logged == N && structure % 2 == 0 -> wdone = true; break
	od
	} unless { killed || stopped };
	if
	:: atomic { killed -> killed = false; n = 0; l = 0 } goto start
	:: stopped || wdone
	fi
}
active proctype Killer() {
endk:	do
	:: atomic { set && kills > 0 && !wdone && !killed -> kills--; killed = true }
	:: atomic { set && !wdone && !stopped -> stopped = true }
	od
}

/* ---- the reader's catalog: bit n of `taken`: record n is in it ---- */
#define TAKEN(n) ((taken >> (n)) & 1)
#define KNOWN(p) ((BORN(p) == 0 || (BORN(p) <= N && TAKEN(BORN(p)))) && !(DIES(p) <= N && TAKEN(DIES(p))))

/* Catalog::follow: up to the newest that is applied */
inline follow() {
	h = structure / 2;
	d_step { if :: h > followed -> assert(h <= logged); followed = h; taken = taken | ((1 << (h + 1)) - 1) :: else fi; h = 0 }
}
/* Catalog::follow_logged: also past a writer who is busy, stopped or dead */
inline follow_logged() {
	follow();
	if
	:: structure % 2 == 0 -> skip
	:: else ->
		from = applied;
		to = logged;
		d_step { if :: to > from && to > followed ->
#ifdef PASS_OVER
			followed = to; taken = taken | (1 << to)
#else
			followed = to; taken = taken | ((1 << (to + 1)) - 1)     /* by the chain */
#endif
			:: else fi; from = 0; to = 0 }
	fi;
	follow()
}
/* as of some moment since the look-up began */
inline gone_since(p) {
	d_step { s = lo; do :: s <= logged && LIVES(p, s) -> s++ :: else -> break od; assert(s <= logged); s = 0 }
}
inline none_since(nm) {
	d_step { s = lo; do :: s <= logged && (LIVES(1, s) && NAME(1) == nm || LIVES(2, s) && NAME(2) == nm || LIVES(3, s) && NAME(3) == nm || LIVES(4, s) && NAME(4) == nm) -> s++
	:: else -> break od; assert(s <= logged); s = 0 }
}
inline look_up(nm) {                                    /* names_ of the catalog */
	d_step { p = 1; do :: p <= PAGES && !(KNOWN(p) && NAME(p) == nm) -> p++ :: else -> break od; p = (p > PAGES -> 0 : p) }
}
inline reads(v, as_of) {
	d_step { assert(LIVES(p, as_of) && v == VALUE(p, as_of));
	s = lo; do :: s <= logged && !(LIVES(p, s) && v == VALUE(p, s)) -> s++ :: else -> break od; assert(s <= logged); s = 0 }
}

active proctype Reader() {
	byte followed, taken = 1, lo, p, nm, l, h, from, to, s, s0, v, o, n; bool found;
	set;
	do
	:: break
	:: lo = logged;
		if
		/* ---- State::find_page(name), then a read ---- */
		:: d_step { p = 0; nm = 1 } goto by_name
		:: d_step { p = 0; nm = 2 } goto by_name
		/* ---- a Page that was found before, or an id: its line is a hint ---- */
		:: p = 1
		:: p = 2
		:: p = 3
		fi;
		goto by_id;
by_name:
#ifdef FOUND_UNLOOKED
		follow();
#elif defined(NOT_LOOKED)
		follow();
#else
		follow_logged();
#endif
		look_up(nm);
#ifdef FOUND_UNLOOKED
		if :: p == 0 -> follow_logged(); look_up(nm) :: else fi;
#endif
		if
		:: p == 0 -> none_since(nm); goto next
		:: else -> d_step { s = lo; do :: s <= logged && !LIVES(p, s) -> s++ :: else -> break od; assert(s <= logged); s = 0 }
		fi;
by_id:		l = LINE(p);
		/* ---- find_line ---- */
#ifndef HINT_TRUSTED
		if
		:: id[l] == p -> skip
		:: else ->
#ifdef TABLE_FIRST
			gone_since(p); goto next
#else
			if
			:: KNOWN(p) -> skip
			:: else -> follow_logged();
				if :: KNOWN(p) -> skip :: else -> gone_since(p); goto next fi
			fi
#endif
		fi;
#endif
		/* ---- read_quick: Arena::copy, the bytes, the line unchanged ---- */
		s0 = lsn[l];
		if
		:: s0 % 2 -> goto slow
		:: else
		fi;
#ifndef HINT_TRUSTED
		if :: id[l] != p -> goto slow :: else fi;
#endif
		o = off[l];
		v = mem[o];
		if :: lsn[l] == s0 -> reads(v, s0 / 2); goto next :: else fi;
		/* ---- slow_round ---- */
slow:		from = applied;
		found = (id[l] == p);
		s0 = lsn[l];
		o = off[l];
		v = mem[o];
		to = logged;
		n = from + 1;
		do
		:: n <= to ->
			if
#ifndef SLOW_NO_CREATE
			:: OP1(n) == CREATE && PG1(n) == p || OP2(n) == CREATE && PG2(n) == p -> found = true; v = VALUE(p, n)
#endif
#ifndef SLOW_NO_DELETE
			:: OP1(n) == DELETE && PG1(n) == p -> found = false
#endif
			:: OP1(n) == UPDATE && PG1(n) == p ->
				if :: found -> v = VALUE(p, n) :: else -> goto slow fi
			:: OP1(n) == MOVE && PG1(n) == p ->
				if :: !found || applied >= n -> goto slow :: else fi;
				if :: lsn[l] != s0 || off[l] != o -> goto slow :: else fi
			:: else
			fi;
			n++
		:: else -> break
		od;
		if
		:: found -> d_step { assert(LIVES(p, to) && v == VALUE(p, to)); assert(to >= lo) }
		:: else -> gone_since(p)
		fi;
next:		skip; d_step { lo = 0; p = 0; nm = 0; l = 0; from = 0; to = 0; s0 = 0; v = 0; o = 0; n = 0; found = false }
	od
}
active proctype Monitor() { timeout -> assert(wdone || stopped) }
