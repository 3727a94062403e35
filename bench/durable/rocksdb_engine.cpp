// RocksDB: WriteOptions::sync; it groups the commits of several writers itself.
#include "durable/engine.hpp"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <array>
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
    explicit RocksWriter(rocksdb::DB& db) : db_(db) { options_.sync = true; }
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        check(db_.Put(options_, Key(page).slice(), slice_of(bytes)));
    }

private:
    rocksdb::DB& db_;
    rocksdb::WriteOptions options_{};
};

class Rocks final : public Engine {
public:
    explicit Rocks(const std::string& folder) : folder_(folder) {
        std::filesystem::create_directories(folder);
        open();
    }
    void load(std::span<const std::byte> bytes) override {
        rocksdb::WriteBatch batch;
        for (std::uint64_t page = 0; page < bytes.size() / page_size; ++page)
            check(
                batch.Put(Key(page).slice(), slice_of(bytes.subspan(page * page_size, page_size))));
        check(db_->Write(rocksdb::WriteOptions{}, &batch));
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<RocksWriter>(*db_); }
    std::vector<std::byte> read_again() override {
        db_.reset();
        open();
        std::vector<std::byte> all;
        const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(rocksdb::ReadOptions{}));
        for (at->SeekToFirst(); at->Valid(); at->Next()) {
            const auto bytes = std::as_bytes(std::span(at->value().data(), at->value().size()));
            all.insert(all.end(), bytes.begin(), bytes.end());
        }
        return all;
    }

private:
    void open() {
        rocksdb::Options options;
        options.create_if_missing = true;
        rocksdb::DB* raw = nullptr;
        check(rocksdb::DB::Open(options, folder_, &raw));
        db_.reset(raw);
    }
    std::string folder_;
    std::unique_ptr<rocksdb::DB> db_{};
};

}  // namespace

Way rocksdb_sync() {
    return {"RocksDB, sync", [](const std::string& folder) -> std::unique_ptr<Engine> {
                return std::make_unique<Rocks>(folder);
            }};
}

}  // namespace bench
