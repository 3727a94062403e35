/// Durable commits: each writer, a thread with pages of its own, changes ten bytes of one of them
/// and waits until the disk has it; as many commits as a turn's time allows. Every engine keeps the
/// same pages from the same seed, in the same folder's file system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t page_size = 1024;

/// One writer's way to the engine; used by one thread.
class Writer {
public:
    virtual ~Writer() = default;
    /// The page's new bytes, all of them; returns when they survive a power cut.
    virtual void commit(std::uint64_t page, std::span<const std::byte> bytes) = 0;
};

/// One way to keep pages durably. One file per engine.
class Engine {
public:
    virtual ~Engine() = default;
    /// Makes the pages; `bytes` is all of them, in order.
    virtual void load(std::span<const std::byte> bytes) = 0;
    /// From the thread that uses it, one at a time.
    [[nodiscard]] virtual std::unique_ptr<Writer> writer() = 0;
    /// Closes the store, opens it again, and reads all pages: what a restart finds.
    [[nodiscard]] virtual std::vector<std::byte> read_again() = 0;
};

struct Way {
    std::string name{};
    std::unique_ptr<Engine> (*make)(const std::string& folder);
};

Way bare_sync();    ///< pwrite of 128 bytes into a prewritten file, fdatasync: one for each commit.
Way shared_sync();  ///< The same, but one fdatasync for all who wait.
Way mmsb_sync();    ///< Durability::sync.
Way lmdb_sync();    ///< Its default.
Way sqlite_full();  ///< WAL, synchronous=FULL, a connection a writer.
Way rocksdb_sync();  ///< WriteOptions::sync.

}  // namespace bench
