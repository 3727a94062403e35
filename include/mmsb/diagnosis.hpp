/// What the files of a bus look like: which are good, which are damaged and where, what is safe.
///
///     const auto found = mmsb::examine("demo.bus");
///     for (const auto& file : found.files)
///         std::cout << file.file << ": " << to_string(file.health) << '\n';
///
/// Values only, and a function that changes nothing. Every room may include this.
#pragma once

#include <mmsb/types.hpp>

namespace mmsb {

/// What a file of a bus is for, by its place and name.
enum class FileKind : std::uint8_t {
    header,      ///< The file `bus`: its identity and what it keeps; two copies.
    segment,     ///< A part of the log.
    blob,        ///< The contents of one large commit.
    checkpoint,  ///< All pages as of one sequence.
    other,       ///< Half made, under another name.
};
[[nodiscard]] std::string_view to_string(FileKind kind) noexcept;  ///< As it is written above.

/// What reading a file from end to end has shown.
enum class FileHealth : std::uint8_t {
    good,  ///< Each checksum is right.
    torn,  ///< The log ends in it with a piece that a crash cut off, and that counts for nothing.
    damaged,  ///< From `offset` on, or (a blob, a checkpoint) as a whole.
    missing,  ///< The log, or a commit, needs it, and it is not there.
    cut_off,  ///< Good or not: it lies behind damage, and nothing leads there.
    unused,   ///< Nobody's: a process died before it was anybody's, or it was let go of.
};
/// As it is written above; cut_off is "cut off".
[[nodiscard]] std::string_view to_string(FileHealth health) noexcept;

/// One file, read from end to end.
struct FileFinding {
    std::string file{};  ///< Its path.
    FileKind kind = FileKind::other;
    FileHealth health = FileHealth::good;
    std::uint64_t bytes = 0;       ///< Its size.
    std::uint64_t torn_bytes = 0;  ///< Of them: behind the log's end.
    std::uint64_t offset = 0;      ///< Damaged: where, what should be there, and what is.
    std::string expected{}, found{};
    std::uint64_t commits = 0;  ///< That can be read in it, and which; none: both are zero.
    Sequence first = Sequence::zero, last = Sequence::zero;
    std::string note{};  ///< In words, what else there is to say.
};

/// All of them, and what follows from that.
struct Diagnosis {
    std::vector<FileFinding> files{};  ///< Header, segments, blobs, checkpoints, others.
    bool opens = false;                ///< Open::good_prefix can open it.
    std::string refused{};             ///< Why not.
    /// What is safe: every moment from `oldest` to `sequence`, which was committed at `time`.
    Sequence oldest = Sequence::zero, sequence = Sequence::zero;
    Time time{};
    /// Where the past that is kept begins. Before `oldest`: what is between cannot be read.
    Sequence kept_from = Sequence::zero;
    std::optional<Damage> damage{};  ///< What ends the log at `sequence`.
    std::uint64_t torn_bytes = 0;    ///< What else lies behind it: a torn end.
    bool shared_memory = false;      ///< It is there: what is open may know more than the files.
    /// Everything that is kept can be read. (Torn and unused files are as a crash may leave them.)
    [[nodiscard]] bool good() const noexcept {
        for (const auto& file : files)
            if (file.health == FileHealth::damaged || file.health == FileHealth::missing ||
                file.health == FileHealth::cut_off)
                return false;
        return opens && !damage && oldest <= kept_from;
    }
};

/// Reads every file of the bus, takes no lock and changes nothing; others may go on using it.
/// Throws NotABus, NewerFormat, Io, OutOfSpace.
[[nodiscard]] Diagnosis examine(const std::string& path);

}  // namespace mmsb
