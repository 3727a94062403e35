/// tests/crash/disk_trace: what a bus does to its folder, recorded; and what a power cut may leave
/// of it.
///
/// The model is what POSIX promises, and no more. Bytes of a file are on the disk once an fdatasync
/// of it that began after the write has ended; until then each 512-byte sector may be as any write
/// left it, each by itself, and so may the file's size. A name made, removed or renamed is on the
/// disk once an fsync of its folder has ended; until then each such step may have happened or not.
/// A rename is one step.
#pragma once

#include "os/error.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace mmsb::test {

inline constexpr std::uint64_t sector = 512;

using Inode = std::uint64_t;
/// Where a file is: its folder, and its name there.
using Place = std::pair<Inode, std::string>;

struct Step {
    enum class What : std::uint8_t { write, resize, grow, name, unname, rename, sync, sync_folder };
    What what{};
    Inode inode = 0;   ///< The file; of sync_folder, the folder.
    Place at{}, to{};  ///< Names.
    std::uint64_t offset = 0, size = 0;
    std::string bytes{};
    std::size_t began = 0;       ///< Of a sync: it covers the steps before this one.
    std::uint64_t promised = 0;  ///< What had been acknowledged as durable when this was done.
};

/// A tree of files: what lies at each path below the root. Folders end with '/'.
using Tree = std::map<std::string, std::string>;

/// Records while it is tapped (tests/support/tap.hpp). Folders below `root` only.
class Recorder final : public os::Tap {
public:
    explicit Recorder(std::string root);
    void before(const os::Operation& what) override;
    void after(const os::Operation& what, long result) override;
    /// As if the files that are there now, `seen`, had been written by somebody who was killed. The
    /// disk has the names of `certain` only, and of each file no more than its `bytes`.
    void begin_from(const Tree& certain, const Tree& bytes, const Tree& seen,
                    std::uint64_t promised);
    /// From here on the disk has promised this sequence.
    void promise(std::uint64_t sequence);

    [[nodiscard]] const std::vector<Step>& steps() const noexcept { return steps_; }
    [[nodiscard]] Inode root() const noexcept { return root_; }
    [[nodiscard]] bool is_folder(Inode inode) const { return folders_.contains(inode); }
    [[nodiscard]] std::uint64_t promised() const noexcept { return promised_; }

private:
    void add(Step step);

    std::mutex mutex_{};
    std::string path_;
    Inode root_ = 0;
    std::vector<Step> steps_{};
    std::map<Inode, bool> folders_{};
    std::map<int, Inode> removing_{};  // by thread would be finer; the bus serialises these
    std::map<std::string, std::size_t> syncing_{};
    std::uint64_t promised_ = 0;
};

/// How a cut treats what was not synced.
enum class Loss : std::uint8_t {
    all,      ///< Nothing of it is there.
    none,     ///< All of it is: what kill -9 leaves.
    sectors,  ///< Each sector and each name by itself.
    writes,   ///< Each write by itself, whole.
    one,      ///< All of it but one step.
    ordered,  ///< The first few steps, in order.
    bytes,    ///< All names; of the files what is certain.
};

/// What a power cut before step `cut` may leave.
[[nodiscard]] Tree tree_after(const Recorder& recorded, std::size_t cut, Loss loss,
                              std::mt19937& random);

}  // namespace mmsb::test
