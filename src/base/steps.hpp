/// base/steps: named points of the protocols, at which tests kill, stop or throw.
///
/// MMSB_STEP("commit.logged") stands behind the store (or the system call) that it is named after.
/// It is compiled only into the target `mmsb_steps` (CMake option MMSB_STEPS), a twin of the
/// library for tests/crash; in `mmsb`, which is installed and measured, it is nothing at all. A
/// name that is not in the list below does not compile.
///
/// The names in brackets are the steps of docs/model/commit.pml.
/// Threads: the hook is called by any thread, under whatever lock the step is under.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <string_view>

namespace mmsb::base {

struct StepName {
    std::string_view name;
    /// The hook may throw here: something else could have thrown between this step and the next.
    bool may_throw = false;
};

// clang-format off
inline constexpr auto step_names = std::to_array<StepName>({
    // ---- the writers' lock (state/redo)
    {"lock.taken"},              // the mutex is ours [atomic { wl == FREE -> wl = me }]
    {"lock.signed"},             // our process id is where Busy finds it
    {"lock.unsigned"},           // and is not any more
    {"lock.released"},           // [wl = FREE]

    // ---- a commit, up to the point where it counts (state/commit)
    {"commit.validated", true},  // what was read has not changed
    {"commit.encoded", true},    // deltas found; lines and places taken
    {"commit.room", true},       // ring and segments have room [n > flushed + R -> flush]
    {"commit.built", true},      // the records are in private memory
    {"commit.structure_busy"},   // a look-up that finds nothing looks past us from here on
    {"commit.reserved"},         // [wto = n]
    {"commit.bytes"},            // ring bytes complete [rA[..] = my; rB[..] = my]
    {"commit.line_busy"},        // one more line of the record [busy(my)]
    {"commit.logged"},           // COMMITTED [logged = n]

    // ---- onto the pages; redo goes the same way (state/redo) [apply]
    {"apply.line_busy"},         // [BUSY2(p)]
    {"apply.zeroed"},            // created: its place is zero
    {"apply.id"},                // created: the line is the page's
    {"apply.released"},          // deleted: its place is free in the bitmap
    {"apply.line_freed"},        // deleted: the line is nobody's
    {"apply.moved"},             // resized: the new place is filled
    {"apply.smaller"},           // resized: its size is stored, where it is the smaller one
    {"apply.place"},             // resized: its offset is stored
    {"apply.bytes"},             // bytes complete [w[..] = ..]
    {"apply.fields"},            // epoch and sequence assigned [EPOCH(p, n)]
    {"apply.line"},              // this page has it [sl[p] = 2*n]
    {"publish.structure"},
    {"publish.time"},
    {"publish.sequence"},
    {"commit.allocated"},        // bitmap and table agree again
    {"commit.structure_idle"},
    {"commit.sealed"},           // the check of the words beside `applied`
    {"commit.applied"},          // [applied = n]

    // ---- what a dead writer left (state/redo, arena) [recovery]
    {"redo.followed", true},     // the catalog is up to date
    {"redo.lines", true},        // a record that is logged and not applied was read
    {"redo.record", true},       // it is on its pages
    {"redo.applied", true},      // [applied = n]
    {"forget.parsed", true},     // an unlogged record passed its checksum
    {"forget.line"},             // one more of its lines has its old value again [IDLE(p)]
    {"allocator.cleared"},       // the bitmap is empty, and is filled from the table
    {"redo.allocator", true},
    {"redo.allocated", true},
    {"redo.structure", true},

    // ---- the files' lock, prepare and flush (state/flush) [flush_locked]
    {"timer.turn", true},        // the timer thread is about to flush
    {"files.taken"},             // [CANLOCK -> fl = me]
    {"files.unsigned"},
    {"files.released"},          // [UNLOCK]
    {"prepare.grown", true},
    {"prepare.prepared", true},
    {"flush.mending", true},     // the ring has the bytes, which are copied next
    {"flush.mended", true},      // [unsure -> ..]
    {"flush.unsure", true},      // [unsure = true]
    {"flush.written", true},     // [cA[k] = rA[..]]
    {"flush.flushed", true},     // [flushed = to]
    {"flush.moving"},            // one of its words is about to be stored: its next seal is
    {"flush.moved"},             // and it is, its seal is not
    {"flush.synced", true},      // [dA[k] = cA[k]]
    {"flush.durable_sequence", true},
    {"flush.durable", true},     // [durable = to]
    {"flush.sure", true},        // [unsure = false]
    {"flush.bell", true},        // whoever sleeps was woken

    // ---- new files of the log (log/segments)
    {"segment.written", true},   // under another name
    {"segment.synced", true},
    {"segment.named", true},
    {"segment.name_synced", true},
    {"segment.removed", true},   // one of those before the base
    {"blob.written", true},
    {"blob.synced", true},
    {"blob.named", false},
    {"blob.name_synced", true},

    // ---- attach, rebuild, leave (state/open, header, rebuild)
    {"attach.opening", true},    // lock.open is ours
    {"attach.log_made", true},   // of a new bus: log/ with its first segment, and a checkpoint
    {"attach.header_written", true},
    {"attach.header_named", true},
    {"attach.header", true},
    {"header.copy", true},       // one of the two copies says what changed (state/bus_file)
    {"attach.alone", true},      // <bus>/lock is ours alone
    {"attach.recovered", true},  // the arena that was there is good
    {"attach.dirty", true},      // and is in use
    {"attach.arena_made", true},
    {"rebuild.record", true},    // one more record of the log is on the new pages
    {"attach.rebuilt", true},
    {"attach.segment", true},    // a torn tail is never appended to again
    {"attach.incarnation", true},
    {"attach.flushed", true},
    {"attach.arena_named", true},
    {"attach.published", true},  // the bus says where its arena is
    {"attach.joined", true},
    {"attach.shared", true},     // <bus>/lock is everybody's
    {"leave.opening", true},
    {"leave.released", true},    // <bus>/lock is not ours
    {"leave.alone", true},       // and is ours alone
    {"leave.closed", true},      // the close record is logged
    {"leave.prepared", true},
    {"leave.trimmed", true},     // the file ends where the log does
    {"leave.flushed", true},
    {"leave.clean", true},

    // ---- checkpoints (state/checkpoints) and letting go of the past (state/retention)
    {"checkpoint.begun", true},      // what others left half is gone
    {"checkpoint.page", true},       // one more page is in the file, which has no name
    {"checkpoint.changes", true},    // and what was committed meanwhile
    {"checkpoint.durable", true},    // the log is, up to there
    {"checkpoint.streamed", true},   // all of it is written
    {"checkpoint.synced", true},
    {"checkpoint.read_back", true},  // and it is good
    {"checkpoint.named", true},
    {"checkpoint.name_synced", true},
    {"checkpoint.position"},         // one of the words that tell of it
    {"checkpoint.told", true},
    {"retention.set", true},         // the header says so, the log not yet
    {"clock.suspended", true},       // the clock jumped: the header says so, the log not yet
    {"compact.base", true},          // there is a checkpoint as of where the past shall begin
    {"compact.header", true},        // the header says that it begins there
    {"compact.sequence"},            // and so does one of the two words
    {"compact.moved", true},
    {"compact.blob", true},          // one less of those that dropped records name
    {"compact.segments", true},
    {"compact.punched", true},
    {"compact.checkpoint", true},    // one less of those before the base
    {"compact.needless", true},      // one less of those that nobody needs

    // ---- reading (state/read, cursor) [Reader]
    {"read.quick"},              // copied under the line, not yet believed
    {"read.chunk"},              // one more of a large page, likewise
    {"read.from"},               // [from = applied]
    {"read.copied"},             // [a = w[0]; b = w[1]; c = w[2]]
    {"read.to"},                 // [to = logged]
    {"read.ring"},               // [x = rA[n % R]], before wto is looked at
});
// clang-format on

/// A step, by its place in step_names.
class Step {
public:
    consteval explicit Step(std::string_view name) : number_(find(name)) {}
    [[nodiscard]] std::size_t number() const noexcept { return number_; }
    [[nodiscard]] const StepName& name() const noexcept { return step_names[number_]; }

private:
    static consteval std::size_t find(std::string_view name) {
        for (std::size_t i = 0; i < step_names.size(); ++i)
            if (step_names[i].name == name) return i;
        throw "no such step";  // NOLINT: ends the compilation
    }
    std::size_t number_;
};

/// nullptr: none. What it throws where a step may not throw ends the process.
using StepHook = void (*)(Step step);
inline std::atomic<StepHook> step_hook{nullptr};

inline void at_step(Step step) {
    if (const auto hook = step_hook.load(std::memory_order_acquire); hook != nullptr) hook(step);
}

}  // namespace mmsb::base

#ifdef MMSB_STEPS
#define MMSB_STEP(name) ::mmsb::base::at_step(::mmsb::base::Step(name))
#else
#define MMSB_STEP(name) static_cast<void>(0)
#endif
