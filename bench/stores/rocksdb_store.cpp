// RocksDB, with its log; it groups the commits of several writers itself.
#include "stores/store.hpp"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace bench {

namespace {

void check(const rocksdb::Status& status) {
    if (!status.ok()) throw std::runtime_error(status.ToString());
}

// In the order of the numbers.
class Key {
public:
    explicit Key(std::uint64_t page) {
        for (std::size_t i = 0; i < bytes_.size(); ++i)
            bytes_[i] = static_cast<char>(page >> (8 * (bytes_.size() - 1 - i)));
    }
    [[nodiscard]] rocksdb::Slice slice() const { return {bytes_.data(), bytes_.size()}; }

private:
    std::array<char, 8> bytes_{};
};

rocksdb::Slice slice_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class RocksWriter final : public Writer {
public:
    RocksWriter(rocksdb::DB& db, bool sync) : db_(db) { options_.sync = sync; }
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        check(db_.Put(options_, Key(page).slice(), slice_of(bytes)));
    }

private:
    rocksdb::DB& db_;
    rocksdb::WriteOptions options_{};
};

class Rocks final : public Store {
public:
    Rocks(const std::string& folder, bool sync, Checkpoints checkpoints)
        : folder_(folder), sync_(sync) {
        std::filesystem::create_directories(folder);
        options_.create_if_missing = true;
        // The log goes on until what it says is written as a table: here, until there is so much.
        if (checkpoints == Checkpoints::on_demand)
            options_.write_buffer_size = std::size_t{16} << 30U;
        open();
    }
    void load(std::span<const std::byte> bytes) override {
        rocksdb::WriteBatch batch;
        for (std::uint64_t page = 0; page < bytes.size() / page_size; ++page)
            check(
                batch.Put(Key(page).slice(), slice_of(bytes.subspan(page * page_size, page_size))));
        check(db_->Write(rocksdb::WriteOptions{}, &batch));
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<RocksWriter>(*db_, sync_); }
    void read(std::uint64_t page, std::span<std::byte> out) override {
        rocksdb::PinnableSlice value;
        check(db_->Get(rocksdb::ReadOptions{}, db_->DefaultColumnFamily(), Key(page).slice(),
                       &value));
        std::memcpy(out.data(), value.data(), std::min(out.size(), value.size()));
    }
    std::vector<std::byte> read_all() override {
        std::vector<std::byte> all;
        const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(rocksdb::ReadOptions{}));
        for (at->SeekToFirst(); at->Valid(); at->Next()) {
            const auto bytes = std::as_bytes(std::span(at->value().data(), at->value().size()));
            all.insert(all.end(), bytes.begin(), bytes.end());
        }
        return all;
    }
    void checkpoint() override { check(db_->Flush(rocksdb::FlushOptions{})); }
    void reopen() override {
        db_.reset();
        open();
    }

private:
    void open() {
        rocksdb::DB* raw = nullptr;
        check(rocksdb::DB::Open(options_, folder_, &raw));
        db_.reset(raw);
    }
    std::string folder_;
    bool sync_;
    rocksdb::Options options_{};
    std::unique_ptr<rocksdb::DB> db_{};
};

}  // namespace

Way rocksdb_store(Survives survives, Checkpoints checkpoints) {
    const bool sync = survives == Survives::power_cut;
    std::string name = sync ? "RocksDB, sync" : "RocksDB";
    if (checkpoints == Checkpoints::on_demand) name += ", all in its log";
    return {name, [=](const std::string& folder) {
                return std::make_unique<Rocks>(folder, sync, checkpoints);
            }};
}

}  // namespace bench
