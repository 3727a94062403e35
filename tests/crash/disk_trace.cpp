#include "crash/disk_trace.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace mmsb::test {

namespace fs = std::filesystem;

namespace {

// The number alone is given again as soon as a file is gone, often to the next one: the time of
// birth tells them apart.
Inode file_at(int folder, const char* name, int flags) {
    struct statx s{};
    if (::statx(folder, name, flags, STATX_INO | STATX_BTIME, &s) != 0) return 0;
    constexpr std::uint64_t second = 1'000'000'000, spread = 0x9e3779b97f4a7c15;
    const auto born = static_cast<std::uint64_t>(s.stx_btime.tv_sec) * second + s.stx_btime.tv_nsec;
    return s.stx_ino ^ (born * spread);
}
Inode inode_of(int fd) { return file_at(fd, "", AT_EMPTY_PATH); }
Inode inode_at(int folder, const char* name) { return file_at(folder, name, AT_SYMLINK_NOFOLLOW); }
Inode inode_at(const std::string& path) { return inode_at(AT_FDCWD, path.c_str()); }

// A path that a name relative to the working folder stands for is taken apart.
Place place_of(const os::Operation& what, const char* name) {
    if (what.fd != AT_FDCWD) return {inode_of(what.fd), name};
    const fs::path path(name);
    return {inode_at(path.parent_path().string()), path.filename().string()};
}

std::string key(const os::Operation& what) {
    return std::to_string(what.fd) + (what.call == os::Call::sync ? "f" : "d");
}

}  // namespace

Recorder::Recorder(std::string root) : path_(std::move(root)) {
    fs::create_directories(path_);
    root_ = inode_at(path_);
    folders_[root_] = true;
}

void Recorder::begin_from(const Tree& certain, const Tree& bytes, const Tree& seen,
                          std::uint64_t promised) {
    promised_ = promised;
    using What = Step::What;
    const auto place = [&](std::string path) {
        if (path.ends_with('/')) path.pop_back();
        const auto at = fs::path(path_) / path;
        return Place{inode_at(at.parent_path().string()), at.filename().string()};
    };
    Inode gone = ~Inode{0};  // a file that is no longer there needs a number, too
    std::map<std::string, Inode> of;
    for (const auto* tree : {&certain, &seen})
        for (const auto& [path, contents] : *tree)
            if (!of.contains(path))
                of[path] = seen.contains(path) ? inode_at(path_ + '/' + path) : --gone;
    const auto put = [&](const std::string& path, const std::string& contents) {
        add({.what = What::resize, .inode = of[path], .size = contents.size()});
        add({.what = What::write, .inode = of[path], .size = contents.size(), .bytes = contents});
    };
    const auto is_folder = [](const std::string& path) { return path.ends_with('/'); };
    for (const auto& [path, inode] : of) {
        if (is_folder(path)) folders_[inode] = true;
        if (is_folder(path)) continue;
        put(path, bytes.contains(path) ? bytes.at(path) : certain.at(path));
        add({.what = What::sync, .inode = inode, .began = steps_.size()});
    }
    for (const auto& [path, contents] : certain)
        add({.what = What::name, .inode = of[path], .at = place(path)});
    for (const auto& [folder, yes] : folders_)
        add({.what = What::sync_folder, .inode = folder, .began = steps_.size()});
    for (const auto& [path, contents] : seen) {
        if (!certain.contains(path))
            add({.what = What::name, .inode = of[path], .at = place(path)});
        if (!is_folder(path) && bytes.at(path) != contents) put(path, contents);
    }
    for (const auto& [path, contents] : certain)
        if (!seen.contains(path)) add({.what = What::unname, .inode = of[path], .at = place(path)});
}

void Recorder::promise(std::uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    promised_ = std::max(promised_, sequence);
}

void Recorder::add(Step step) {
    step.promised = promised_;
    steps_.push_back(std::move(step));
}

void Recorder::before(const os::Operation& what) {
    const std::lock_guard lock(mutex_);
    switch (what.call) {
        case os::Call::pwrite:  // may be half there before it has ended
            if (std::string_view(what.path).starts_with(path_))
                add({.what = Step::What::write,
                     .inode = inode_of(what.fd),
                     .offset = what.offset,
                     .size = what.size,
                     .bytes = {reinterpret_cast<const char*>(what.data),
                               static_cast<std::size_t>(what.size)}});
            break;
        case os::Call::sync:
        case os::Call::sync_folder:
            syncing_[key(what)] = steps_.size();
            break;
        case os::Call::remove:
        case os::Call::rename:
            removing_[what.fd] =
                what.fd == AT_FDCWD ? inode_at(what.name) : inode_at(what.fd, what.name);
            break;
        default:
            break;
    }
}

void Recorder::after(const os::Operation& what, long result) {
    if (result < 0) return;
    const std::lock_guard lock(mutex_);
    const bool inside = std::string_view(what.path).starts_with(path_);
    const auto named = [&](const char* name) { return place_of(what, name); };
    const auto ours = [&](const Place& place) { return folders_.contains(place.first); };
    using What = Step::What;
    switch (what.call) {
        case os::Call::open:
            if (what.creates && ours(named(what.name)))
                add({.what = What::name,
                     .inode = inode_of(static_cast<int>(result)),
                     .at = named(what.name)});
            break;
        case os::Call::make_folder:
            if (const auto at = named(what.name); ours(at)) {
                const auto made = inode_at(what.fd, what.name);
                folders_[made] = true;
                add({.what = What::name, .inode = made, .at = at});
            }
            break;
        case os::Call::link:
            if (const auto to = named(what.to); ours(to))
                add({.what = What::name, .inode = inode_at(what.fd, what.to), .at = to});
            break;
        case os::Call::remove:
            if (const auto at = named(what.name); ours(at))
                add({.what = What::unname, .inode = removing_[what.fd], .at = at});
            break;
        case os::Call::rename:
            if (const auto at = named(what.name); ours(at))
                add({.what = What::rename,
                     .inode = removing_[what.fd],
                     .at = at,
                     .to = named(what.to)});
            break;
        case os::Call::truncate:
            if (inside) add({.what = What::resize, .inode = inode_of(what.fd), .size = what.size});
            break;
        case os::Call::allocate:
            if (inside)
                add({.what = What::grow,
                     .inode = inode_of(what.fd),
                     .size = what.offset + what.size});
            break;
        case os::Call::sync:
            add({.what = What::sync, .inode = inode_of(what.fd), .began = syncing_[key(what)]});
            break;
        case os::Call::sync_folder:
            add({.what = What::sync_folder,
                 .inode = inode_of(what.fd),
                 .began = syncing_[key(what)]});
            break;
        default:
            break;
    }
}

namespace {

// The steps before the cut, each with whether the disk had it for certain.
class Cut {
public:
    Cut(const Recorder& recorded, std::size_t cut, Loss loss, std::mt19937& random)
        : recorded_(recorded), steps_(recorded.steps()), cut_(cut), loss_(loss), random_(random) {
        std::map<Inode, std::size_t> files, folders;  // synced up to here
        for (std::size_t i = 0; i < cut_; ++i) {
            const auto& step = steps_[i];
            auto* synced = step.what == Step::What::sync          ? &files
                           : step.what == Step::What::sync_folder ? &folders
                                                                  : nullptr;
            if (synced != nullptr) {
                auto& upto = (*synced)[step.inode];
                upto = std::max(upto, step.began);
            }
        }
        certain_.resize(cut_, false);
        for (std::size_t i = 0; i < cut_; ++i) {
            const auto& step = steps_[i];
            certain_[i] = is_name(step) ? i < folders[step.at.first] : i < files[step.inode];
            if (!certain_[i] && !is_sync(step)) open_.push_back(i);
        }
        if (loss_ == Loss::one && !open_.empty()) left_out_ = open_[random_() % open_.size()];
        if (loss_ == Loss::ordered && !open_.empty()) last_ = open_[random_() % open_.size()];
        one_in_ = 1U << random_() % 5;
    }

    Tree tree() {
        for (std::size_t i = 0; i < cut_; ++i) {
            const auto& step = steps_[i];
            if (is_sync(step)) continue;
            if (is_name(step)) {
                if (loss_ == Loss::bytes || happened(i)) name(step);
            } else {
                change(i, step);
            }
        }
        Tree tree;
        list(recorded_.root(), "", tree);
        return tree;
    }

private:
    static bool is_sync(const Step& s) {
        return s.what == Step::What::sync || s.what == Step::What::sync_folder;
    }
    static bool is_name(const Step& s) {
        return s.what == Step::What::name || s.what == Step::What::unname ||
               s.what == Step::What::rename;
    }

    bool happened(std::size_t i) {
        if (certain_[i]) return true;
        switch (loss_) {
            case Loss::all:
            case Loss::bytes:
                return false;
            case Loss::none:
                return true;
            case Loss::one:
                return i != left_out_;
            case Loss::ordered:
                return i < last_;
            default:
                return random_() % (one_in_ + 1) != 0;
        }
    }

    void name(const Step& step) {
        switch (step.what) {
            case Step::What::name:
                names_[step.at] = step.inode;
                break;
            case Step::What::unname:
                names_.erase(step.at);
                break;
            default:
                names_.erase(step.at);
                names_[step.to] = step.inode;
        }
    }

    void change(std::size_t i, const Step& step) {
        auto& file = files_[step.inode];
        if (step.what == Step::What::resize) {
            if (happened(i)) file.resize(static_cast<std::size_t>(step.size), '\0');
            return;
        }
        if (step.what == Step::What::grow) {
            if (happened(i) && file.size() < step.size)
                file.resize(static_cast<std::size_t>(step.size), '\0');
            return;
        }
        const bool torn = loss_ == Loss::sectors && !certain_[i];
        if (!torn && !happened(i)) return;
        const auto end = step.offset + step.size;
        // The new size is on the disk or not, whatever became of the bytes.
        if (file.size() < end && (!torn || happened(i)))
            file.resize(static_cast<std::size_t>(end), '\0');
        for (auto at = step.offset; at < end;) {
            const auto next = std::min(end, (at / sector + 1) * sector);
            const auto there = std::min<std::uint64_t>(next, file.size());
            if (at < there && (!torn || happened(i)))
                file.replace(static_cast<std::size_t>(at), static_cast<std::size_t>(there - at),
                             step.bytes, static_cast<std::size_t>(at - step.offset),
                             static_cast<std::size_t>(there - at));
            at = next;
        }
    }

    void list(Inode folder, const std::string& path, Tree& tree) {
        for (const auto& [place, inode] : names_) {
            if (place.first != folder) continue;
            if (recorded_.is_folder(inode)) {
                tree[path + place.second + '/'];
                list(inode, path + place.second + '/', tree);
            } else {
                tree[path + place.second] = files_[inode];
            }
        }
    }

    const Recorder& recorded_;
    const std::vector<Step>& steps_;
    std::size_t cut_;
    Loss loss_;
    std::mt19937& random_;
    std::vector<bool> certain_{};
    std::vector<std::size_t> open_{};
    std::size_t left_out_ = ~std::size_t{0}, last_ = ~std::size_t{0};
    unsigned one_in_ = 1;
    std::map<Place, Inode> names_{};
    std::map<Inode, std::string> files_{};
};

}  // namespace

Tree tree_after(const Recorder& recorded, std::size_t cut, Loss loss, std::mt19937& random) {
    return Cut(recorded, cut, loss, random).tree();
}

}  // namespace mmsb::test
