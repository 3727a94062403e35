/// bench/stores/store: pages kept by us or by a peer, behind one face. One file an engine, each run
/// as its documentation says is right for what a commit has to survive.
///
///     const auto store = bench::mmsb_store(bench::Survives::kill).open(folder);
///     store->load(bytes);
///     store->writer()->commit(3, page);
#pragma once

#include "stores/model.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// One writer's way to the store; used by one thread.
class Writer {
public:
    virtual ~Writer() = default;
    /// The page's new bytes, all of them; returns when they survive what the store is to survive.
    /// (Of Redis without syncs: up to 64 are on their way to the server and back.)
    virtual void commit(std::uint64_t page, std::span<const std::byte> bytes) = 0;
    /// All that was committed survives it.
    virtual void finish() {}
};

/// Pages from 0 on, kept in one folder. From one thread at a time, but for its writers.
class Store {
public:
    virtual ~Store() = default;
    /// Makes the pages of a new store; `bytes` is all of them, in order.
    virtual void load(std::span<const std::byte> bytes) = 0;
    /// From the thread that uses it, one at a time.
    [[nodiscard]] virtual std::unique_ptr<Writer> writer() = 0;
    virtual void read(std::uint64_t page, std::span<std::byte> out) = 0;
    /// All pages, in order.
    [[nodiscard]] virtual std::vector<std::byte> read_all() = 0;
    /// Puts everything where an opening begins, so that it reads no log.
    virtual void checkpoint() {}
    /// All that was committed is in files.
    virtual void flush() {}
    /// Closes it as it should be closed, and opens it again from its files alone.
    virtual void reopen() {}
};

/// What an acknowledged commit survives.
enum class Survives : std::uint8_t {
    kill,       ///< SIGKILL of whoever made it.
    power_cut,  ///< It waits for the disk.
};
/// When the log's changes go where an opening begins.
enum class Checkpoints : std::uint8_t {
    usual,      ///< As by default.
    on_demand,  ///< By Store::checkpoint() alone.
};

/// An engine, run in one way.
struct Way {
    std::string name{};
    /// Makes a store in the folder, or opens the one that is there.
    std::function<std::unique_ptr<Store>(const std::string& folder)> open{};
};

/// Durability::process or sync. It makes a checkpoint a minute, if anything: both ways are one.
Way mmsb_store(Survives survives);
/// MDB_NOSYNC without MDB_WRITEMAP, or its defaults. It has no log.
Way lmdb_store(Survives survives);
/// WAL; synchronous=OFF or FULL; a connection a writer. By default a checkpoint each 1,000 pages.
Way sqlite_store(Survives survives, Checkpoints checkpoints = Checkpoints::usual);
/// WAL; WriteOptions::sync or not. By default its log ends with each 64 MiB of changes.
Way rocksdb_store(Survives survives, Checkpoints checkpoints = Checkpoints::usual);
/// A server process with an append-only file that is synced for each answer, or not. By default the
/// file is written anew where it has doubled.
Way redis_store(Survives survives, Checkpoints checkpoints = Checkpoints::usual);

/// What a reboot does to the store in the folder, which nobody has open: its shared memory is gone.
void lose_memory(const std::string& folder);
/// The folder, and all that belongs to the store in it.
void remove_store(const std::string& folder);

}  // namespace bench
