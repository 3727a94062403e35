/// Workload W: 10,000 pages of 1,024 bytes, all random at the start; 1,000,000 updates by one
/// thread. Each picks a page uniformly and changes it: sparse: 10 bytes at random offsets get
/// another value; dense: every byte changes. The engine gets the page's new 1,024 bytes and has to
/// keep them.
///
/// Making the bytes is part of every figure, the same for all engines, from the same seed.
#pragma once

#include "stores/model.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// One way to keep pages. One file per engine.
class Engine {
public:
    virtual ~Engine() = default;
    [[nodiscard]] virtual std::string name() const = 0;
    [[nodiscard]] virtual std::string survives()
        const = 0;  ///< What an acknowledged update survives.
    virtual void load(Model& model) = 0;
    /// Keeps the page's new bytes.
    virtual void update(std::size_t page, std::span<const std::byte> bytes) = 0;
    virtual void finish() {}
    [[nodiscard]] virtual std::vector<std::byte> read(std::size_t page) = 0;
    /// Log or file bytes an update has cost so far; 0: it keeps none.
    [[nodiscard]] virtual std::uint64_t log_bytes() { return 0; }
};

std::unique_ptr<Engine> copy_floor();
std::unique_ptr<Engine> append_floor();
std::unique_ptr<Engine> lmdb_engine(const std::string& folder, int updates_a_commit);
std::unique_ptr<Engine> rocksdb_engine(const std::string& folder);
std::unique_ptr<Engine> sqlite_engine(const std::string& folder);
std::unique_ptr<Engine> redis_engine(const std::string& folder);
std::unique_ptr<Engine> mmsb_private();
std::unique_ptr<Engine> mmsb_without_log();
std::unique_ptr<Engine> mmsb_with_path(const std::string& folder);
/// With Config::enable_instrumentation: what the timing costs.
std::unique_ptr<Engine> mmsb_timed(const std::string& folder);
std::unique_ptr<Engine> mmsb_transactions(const std::string& folder, int updates_a_commit);

}  // namespace bench
