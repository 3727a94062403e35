/// keeper: putting files' contents into pages; what capture and record share.
#pragma once

#include "os_files.hpp"
#include "output.hpp"

#include <mmsb/mmsb.hpp>

#include <exception>
#include <map>
#include <string>
#include <vector>

namespace mmsb::tool {

enum class FileFate : std::uint8_t {
    unchanged,
    changed,
    made,
    deleted,
    gone,
    unstable,
    unreadable
};
[[nodiscard]] std::string_view to_string(FileFate fate) noexcept;

struct KeptFile {
    std::string name{};
    FileFate fate = FileFate::unchanged;
    PageId page = PageId::none;
    std::uint64_t size = 0;
};
struct Kept {
    Committed committed{};
    std::vector<KeptFile> files{};
};

struct KeepOptions {
    std::string label{}, source{};
    std::uint64_t tag = 0;
    bool sync = false;   ///< Wait until the disk has it.
    bool prune = false;  ///< A file that is gone deletes its page.
};

struct ReadFile {
    std::string name{};
    FileContents contents{};
    std::exception_ptr problem{};  ///< Why it is unstable (Busy) or unreadable (what was thrown).
};
/// Each name once. What cannot be read says so in its status.
[[nodiscard]] std::vector<ReadFile> read_files(const std::vector<std::string>& names);

/// Before a bus is made: throws InvalidArgument where a commit of files of these names, with these
/// options, would.
void refuse_what_no_commit_takes(const std::vector<std::string>& names, const KeepOptions& options);

/// Commits files' contents, all at once.
class Keeper {
public:
    Keeper(const State& bus, KeepOptions options) : bus_(bus), options_(std::move(options)) {}
    /// A file's name is that of its page. What cannot be kept (gone without `prune`, unstable,
    /// unreadable) is left out of the commit and says so in its fate.
    Kept keep(const std::vector<ReadFile>& files);
    /// Whether the file looks as it did when it was kept last; false where nobody can tell.
    [[nodiscard]] bool seems_kept(const std::string& name) const;

private:
    KeptFile stage(Transaction& transaction, const ReadFile& file) const;

    const State& bus_;
    KeepOptions options_;
    std::map<std::string, FileSignature> seen_{};
};

/// "sequence 12: 2 files changed, 1 made, 35 bytes".
[[nodiscard]] std::string summary(const Kept& kept);
[[nodiscard]] Json to_json(const Kept& kept);

}  // namespace mmsb::tool
