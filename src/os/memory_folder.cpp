#include "os/call.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>

namespace mmsb::os {
namespace {

/// What the folder handles of one place share.
struct Node {
    std::mutex mutex{};
    std::map<std::string, File> files{};
    std::map<std::string, std::shared_ptr<Node>> folders{};
    std::uint64_t inode = 0;
};

std::shared_ptr<Node> make_node() {
    static std::atomic<std::uint64_t> last_inode{0};
    auto node = std::make_shared<Node>();
    node->inode = ++last_inode;
    return node;
}

class MemoryFolder final : public Folder {
public:
    MemoryFolder(std::shared_ptr<Node> node, std::string path)
        : node_(std::move(node)), path_(std::move(path)) {}

    std::optional<File> open(const std::string& name, Create create, bool writable) override;
    void remove(const std::string& name) override;
    void rename(const std::string& from, const std::string& to) override;
    bool rename_new(const std::string& from, const std::string& to) override;
    std::vector<std::string> list() override;
    void sync() override;
    std::unique_ptr<Folder> folder(const std::string& name, bool create) override;
    const std::string& path() const noexcept override { return path_; }
    bool in_memory() const noexcept override { return true; }
    std::uint64_t inode() override { return node_->inode; }
    std::uint64_t device() override { return 0; }

private:
    std::string path_of(const std::string& name) const { return path_ + name; }
    /// What the disk may say of `name`, only the hook says here.
    void ask(Call call, const std::string& name, std::string_view what) const {
        const auto path = path_of(name);
        const auto allowed = [] { return 0; };
        if (os::call(call, path, allowed) < 0) fail(errno, what, path);
    }
    void move(const std::string& from, const std::string& to);

    std::shared_ptr<Node> node_;
    std::string path_;
};

std::optional<File> MemoryFolder::open(const std::string& name, Create create, bool writable) {
    const auto path = path_of(name);
    ask(Call::open, name, "open");
    const std::lock_guard lock(node_->mutex);
    auto at = node_->files.find(name);
    if (at == node_->files.end() && create == Create::never) return std::nullopt;
    if (at != node_->files.end() && create == Create::always) fail(EEXIST, "open", path);
    if (at == node_->files.end()) at = node_->files.emplace(name, memory_file(path)).first;
    // Opened anew, so that flock and the access mode are this opening's own, as on disk.
    const auto itself = "/proc/self/fd/" + std::to_string(at->second.fd());
    int fd = ::open(itself.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) fd = ::fcntl(at->second.fd(), F_DUPFD_CLOEXEC, 0);  // Without /proc.
    if (fd < 0) fail(errno, "fcntl", path);
    return File(fd, path);
}

void MemoryFolder::remove(const std::string& name) {
    ask(Call::remove, name, "unlink");
    const std::lock_guard lock(node_->mutex);
    node_->files.erase(name);
}

void MemoryFolder::move(const std::string& from, const std::string& to) {
    if (from == to) return;
    auto taken = node_->files.extract(from);
    if (taken.empty()) fail(ENOENT, "rename", path_of(from));
    node_->files.erase(to);
    taken.key() = to;
    node_->files.insert(std::move(taken));
}

void MemoryFolder::rename(const std::string& from, const std::string& to) {
    ask(Call::rename, from, "rename");
    const std::lock_guard lock(node_->mutex);
    move(from, to);
}

bool MemoryFolder::rename_new(const std::string& from, const std::string& to) {
    ask(Call::link, to, "link");
    const std::lock_guard lock(node_->mutex);
    if (node_->files.contains(to)) return false;
    move(from, to);
    return true;
}

std::vector<std::string> MemoryFolder::list() {
    ask(Call::list, "", "open");
    const std::lock_guard lock(node_->mutex);
    std::vector<std::string> names;
    names.reserve(node_->files.size());
    for (const auto& [name, file] : node_->files) names.push_back(name);
    return names;
}

void MemoryFolder::sync() { ask(Call::sync_folder, "", "fsync"); }

std::unique_ptr<Folder> MemoryFolder::folder(const std::string& name, bool create) {
    if (create) ask(Call::make_folder, name, "mkdir");
    const std::lock_guard lock(node_->mutex);
    auto at = node_->folders.find(name);
    if (at == node_->folders.end() && !create) return nullptr;
    if (at == node_->folders.end()) at = node_->folders.emplace(name, make_node()).first;
    return std::make_unique<MemoryFolder>(at->second, path_of(name) + '/');
}

}  // namespace

std::unique_ptr<Folder> memory_folder() {
    return std::make_unique<MemoryFolder>(make_node(), "memory:");
}

}  // namespace mmsb::os
