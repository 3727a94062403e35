#include "state/outside.hpp"

#include "log/format.hpp"
#include "os/file.hpp"

#include <mmsb/error.hpp>

#include <array>
#include <filesystem>

namespace mmsb::state {

namespace fs = std::filesystem;

namespace {

constexpr int most_links = 40;  // as the kernel has it

bool is_bus(const fs::path& folder) {
    std::error_code error;
    const auto header = folder / "bus";
    if (!fs::is_regular_file(header, error)) return false;
    const auto file = os::open_for_reading(header.string());
    if (!file) return false;
    std::array<std::byte, log::magic_size> begin{};
    return file->read(0, begin) == begin.size() && log::begins_a_bus(begin);
}

}  // namespace

void require_path(const std::string& path) {
    if (path.find('\0') == std::string::npos) return;
    throw InvalidArgument(ErrorCode::invalid_argument, "a path with a byte of zero",
                          {.expected = "a path", .found = "one that ends before it does"});
}

void require_outside(const std::string& folder) {
    require_path(folder);
    std::error_code error;
    const auto whole = fs::weakly_canonical(folder, error);
    if (error) return;  // who opens it says what is wrong
    for (auto at = whole;; at = at.parent_path()) {
        if (is_bus(at))
            throw InvalidArgument(
                ErrorCode::invalid_argument, folder + " is inside a bus",
                {.path = folder, .expected = "a place outside of any bus", .found = at.string()});
        if (at == at.parent_path()) return;
    }
}

std::string file_outside(const std::string& path) {
    require_path(path);
    std::error_code error;
    fs::path target = path;
    for (int links = 0; links != most_links && fs::is_symlink(target, error); ++links) {
        const auto next = fs::read_symlink(target, error);
        if (error) break;  // who opens it says what is wrong
        target = target.parent_path() / next;
    }
    const auto status = fs::status(target, error);
    if (fs::exists(status) && !fs::is_regular_file(status))
        throw InvalidArgument(ErrorCode::invalid_argument, path + " is no file",
                              {.path = path, .expected = "a file or nothing"});
    require_outside(fs::absolute(target, error).parent_path().string());
    return target.string();
}

}  // namespace mmsb::state
