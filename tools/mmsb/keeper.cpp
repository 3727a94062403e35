#include "keeper.hpp"

#include "progress.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <set>

namespace mmsb::tool {

std::string_view to_string(FileFate fate) noexcept {
    static constexpr std::array<std::string_view, 7> names{
        "unchanged", "changed", "made", "deleted", "gone", "unstable", "unreadable"};
    return names.at(static_cast<std::size_t>(fate));
}

namespace {

ReadFile read_file(const std::string& name) {
    ReadFile file{.name = name};
    try {
        file.contents = read_stable(name);
        if (file.contents.status == ReadStatus::unstable)
            throw Busy(ErrorCode::busy,
                       fmt::format("{} changes all the time while it is read", printable(name)),
                       {.path = name});
    } catch (const Busy&) {
        file.problem = std::current_exception();
    } catch (const Error&) {
        file.contents.status = ReadStatus::unreadable;
        file.problem = std::current_exception();
    } catch (const std::bad_alloc&) {
        file.contents.status = ReadStatus::unreadable;
        file.problem = std::make_exception_ptr(OutOfSpace(
            ErrorCode::out_of_space, fmt::format("there is no memory to read {}", printable(name)),
            {.path = "memory"}));
    }
    return file;
}

}  // namespace

std::vector<ReadFile> read_files(const std::vector<std::string>& names) {
    Progress progress("reading files");
    std::set<std::string_view> seen;
    std::vector<ReadFile> files;
    for (const std::string& name : names) {
        if (!seen.insert(name).second) continue;
        files.push_back(read_file(name));
        progress.set(static_cast<double>(seen.size()) / static_cast<double>(names.size()));
    }
    return files;
}

void refuse_what_no_commit_takes(const std::vector<std::string>& names,
                                 const KeepOptions& options) {
    try {
        const State trial = start({});
        trial.transact(
            [&](Transaction& transaction) {
                for (const std::string& name : std::set(names.begin(), names.end()))
                    transaction.create_page(0, {.name = name});
            },
            {.source = options.source, .label = options.label, .tag = options.tag});
    } catch (const InvalidArgument&) {
        throw;
    } catch (const Error&) {  // of the trial: the bus itself may have what that lacked
    }
}

KeptFile Keeper::stage(Transaction& transaction, const ReadFile& file) const {
    const Bytes& bytes = file.contents.bytes;
    const std::optional<Page> page = transaction.find_page(file.name);
    KeptFile kept{.name = file.name, .page = page ? page->id() : PageId::none};
    kept.size = bytes.size();
    if (file.contents.status == ReadStatus::unstable) {
        kept.fate = FileFate::unstable;
    } else if (file.contents.status == ReadStatus::unreadable) {
        kept.fate = FileFate::unreadable;
    } else if (file.contents.status == ReadStatus::gone) {
        kept.fate = options_.prune && page ? FileFate::deleted : FileFate::gone;
        if (kept.fate == FileFate::deleted) transaction.delete_page(*page);
    } else if (!page) {
        kept.fate = FileFate::made;
        kept.page =
            transaction.create_page(bytes.size(), {.name = file.name, .contents = bytes}).id();
    } else {
        if (page->size() != bytes.size()) transaction.resize(*page, bytes.size());
        transaction.update(*page, bytes);
    }
    return kept;
}

Kept Keeper::keep(const std::vector<ReadFile>& files) {
    const Progress progress("committing");
    Kept kept;
    CommitOptions how{.source = options_.source, .label = options_.label, .tag = options_.tag};
    if (options_.sync) how.durability = Durability::sync;
    kept.committed = bus_.transact(
        [&](Transaction& transaction) {
            kept.files.clear();  // It may run again.
            for (const ReadFile& file : files) kept.files.push_back(stage(transaction, file));
        },
        how);
    for (KeptFile& file : kept.files) {
        if (file.fate != FileFate::unchanged || !kept.committed.logged) continue;
        // Without room for bytes it only asks for the version.
        const auto page = bus_.find_page(file.page);
        if (page && page->read_into({}).sequence == kept.committed.sequence)
            file.fate = FileFate::changed;
    }
    for (const ReadFile& file : files) {
        if (file.contents.status == ReadStatus::read) {
            seen_[file.name] = file.contents.signature;
        } else {
            seen_.erase(file.name);
        }
    }
    return kept;
}

bool Keeper::seems_kept(const std::string& name) const {
    try {
        const auto known = seen_.find(name);
        const auto now_there = signature_of(name);
        if (known == seen_.end()) return !now_there;
        return now_there && *now_there == known->second;
    } catch (const Io&) {
        return false;
    }
}

std::string summary(const Kept& kept) {
    if (!kept.committed.logged)
        return fmt::format("nothing changed since sequence {}", number(kept.committed.sequence));
    std::string text = fmt::format("sequence {}:", number(kept.committed.sequence));
    for (const FileFate fate : {FileFate::changed, FileFate::made, FileFate::deleted}) {
        const auto count = std::ranges::count(kept.files, fate, &KeptFile::fate);
        if (count != 0)
            text += fmt::format(" {} {},", counted(static_cast<std::uint64_t>(count), "file"),
                                to_string(fate));
    }
    return text + ' ' + counted(kept.committed.changed_bytes, "byte");
}

Json to_json(const Kept& kept) {
    Json object{{"sequence", number(kept.committed.sequence)},
                {"changed", kept.committed.logged},
                {"changed_bytes", kept.committed.changed_bytes},
                {"files", Json::array()}};
    for (const KeptFile& file : kept.files)
        object["files"].push_back({{"name", file.name},
                                   {"fate", to_string(file.fate)},
                                   {"id", number(file.page)},
                                   {"size", file.size}});
    return object;
}

}  // namespace mmsb::tool
