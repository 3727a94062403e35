#include "os/output_folder.hpp"

#include "os/call.hpp"
#include "os/process.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace mmsb::os {
namespace {

constexpr unsigned all_may_write = 0666, all_may_enter = 0777;

// The name that a file has until it is whole.
class Unfinished {
public:
    Unfinished(const File& folder, const std::string& path)
        : folder_(folder), path_(path), name_(".mmsb-export-" + random_name()) {
        const Operation what{.call = Call::open,
                             .path = path_.c_str(),
                             .fd = folder_.fd(),
                             .name = name_.c_str(),
                             .creates = true};
        const int fd = call(what, [&] {
            return ::openat(folder_.fd(), name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                            all_may_write);
        });
        if (fd < 0) fail(errno, "open", path_);
        file_ = File(fd, path_);
    }
    ~Unfinished() {
        if (!name_.empty()) ::unlinkat(folder_.fd(), name_.c_str(), 0);
    }
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;

    [[nodiscard]] const File& file() const noexcept { return file_; }
    void rename_to(const std::string& to) {
        const Operation what{.call = Call::rename,
                             .path = path_.c_str(),
                             .fd = folder_.fd(),
                             .name = name_.c_str(),
                             .to = to.c_str()};
        const auto renamed = call(what, [&] {
            return ::renameat(folder_.fd(), name_.c_str(), folder_.fd(), to.c_str());
        });
        if (renamed < 0) fail(errno, "rename", path_);
        name_.clear();
    }

private:
    const File& folder_;
    const std::string& path_;
    std::string name_;
    File file_{};
};

}  // namespace

OutputFolder::OutputFolder(const std::string& path) {
    std::error_code error;
    if (const int refused = fault(Call::make_folder, path.c_str()); refused != 0)
        fail(refused, "mkdir", path);
    std::filesystem::create_directories(path, error);
    if (error) fail(error.value(), "mkdir", path);
    const int fd = call(Call::open, path,
                        [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) fail(errno, "open", path);
    folder_ = File(fd, path);
}

File OutputFolder::folder_for(const std::string& path) const {
    const int same = ::fcntl(folder_.fd(), F_DUPFD_CLOEXEC, 0);
    if (same < 0) fail(errno, "dup", folder_.path());
    File at(same, folder_.path());
    std::size_t begin = 0;
    for (auto end = path.find('/'); end != std::string::npos; end = path.find('/', begin)) {
        const auto name = path.substr(begin, end - begin);
        const auto shown = folder_.path() + '/' + path.substr(0, end);
        const Operation what{
            .call = Call::make_folder, .path = shown.c_str(), .fd = at.fd(), .name = name.c_str()};
        const auto made =
            call(what, [&] { return ::mkdirat(at.fd(), name.c_str(), all_may_enter); });
        if (made < 0 && errno != EEXIST) fail(errno, "mkdir", shown);
        const int fd = call(Call::open, shown, [&] {
            return ::openat(at.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        });
        if (fd < 0) fail(errno, "open a folder and no link", shown);
        at = File(fd, shown);
        begin = end + 1;
    }
    return at;
}

void OutputFolder::write(const std::string& path, std::span<const std::byte> bytes) const {
    const auto shown = folder_.path() + '/' + path;
    const File folder = folder_for(path);
    Unfinished unfinished(folder, shown);
    unfinished.file().write(0, bytes);
    unfinished.file().sync_data();
    unfinished.rename_to(path.substr(path.rfind('/') + 1));
}

}  // namespace mmsb::os
