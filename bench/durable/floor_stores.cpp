// What no engine can beat: the bytes of a small record into a file whose blocks are there already,
// and fdatasync.
#include "durable/floors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <stdexcept>

namespace bench {

namespace {

constexpr std::size_t record_size = 128;  ///< About what ten changed bytes cost in a log.
constexpr std::uint64_t file_size = 64U << 20U;

class File {
public:
    explicit File(const std::string& path)
        : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
        if (fd_ < 0) throw std::runtime_error("open failed");
        const std::vector<std::byte> zeros(1U << 20U);
        for (std::uint64_t at = 0; at < file_size; at += zeros.size()) write(at, zeros);
        sync();
    }
    ~File() { ::close(fd_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    void write(std::uint64_t at, std::span<const std::byte> bytes) const {
        if (::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at % file_size)) !=
            static_cast<ssize_t>(bytes.size()))
            throw std::runtime_error("pwrite failed");
    }
    void sync() const {
        if (::fdatasync(fd_) != 0) throw std::runtime_error("fdatasync failed");
    }

private:
    int fd_;
};

class Floor final : public Store {
public:
    Floor(const std::string& folder, bool shared)
        : file_((std::filesystem::create_directories(folder), folder + "/file")), shared_(shared) {}
    void load(std::span<const std::byte> bytes) override {
        pages_.assign(bytes.begin(), bytes.end());
    }
    std::unique_ptr<Writer> writer() override;
    void read(std::uint64_t page, std::span<std::byte> out) override {
        std::memcpy(out.data(), pages_.data() + page * page_size, out.size());
    }
    std::vector<std::byte> read_all() override { return pages_; }

    void commit(std::uint64_t page, std::span<const std::byte> bytes) {
        std::unique_lock lock(mutex_);
        std::memcpy(pages_.data() + page * page_size, bytes.data(), page_size);
        const auto mine = ++written_;
        file_.write(mine * record_size, bytes.first(record_size));
        if (!shared_) {
            lock.unlock();
            file_.sync();
            return;
        }
        while (synced_ < mine) {
            if (syncing_) {
                done_.wait(lock);
                continue;
            }
            syncing_ = true;
            const auto upto = written_;
            lock.unlock();
            file_.sync();
            lock.lock();
            synced_ = upto;
            syncing_ = false;
            done_.notify_all();
        }
    }

private:
    File file_;
    bool shared_, syncing_ = false;
    std::mutex mutex_{};
    std::condition_variable done_{};
    std::uint64_t written_ = 0, synced_ = 0;
    std::vector<std::byte> pages_{};
};

class FloorWriter final : public Writer {
public:
    explicit FloorWriter(Floor& floor) : floor_(floor) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        floor_.commit(page, bytes);
    }

private:
    Floor& floor_;
};

std::unique_ptr<Writer> Floor::writer() { return std::make_unique<FloorWriter>(*this); }

}  // namespace

Way bare_sync() {
    return {"floor: pwrite, fdatasync",
            [](const std::string& folder) { return std::make_unique<Floor>(folder, false); }};
}
Way shared_sync() {
    return {"floor: one fdatasync for all",
            [](const std::string& folder) { return std::make_unique<Floor>(folder, true); }};
}

}  // namespace bench
