/// tests/crash/damaged_bus: a closed bus whose files are damaged in place, and what is seen of
/// that.
#pragma once

#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

namespace mmsb::test {

/// What an opening and a verify had to say.
struct Seen {
    enum class What : std::uint8_t {
        damage,      ///< Refused: which file, where, and up to which sequence all is good.
        torn_tail,   ///< Opened as after a crash, maybe as of an earlier sequence, and said so.
        checkpoint,  ///< Opened without a checkpoint that is damaged, and said so.
        nothing,
    };
    What what = What::nothing;
    std::string file{};  ///< Of damage.
    std::uint64_t offset = 0, good_until = 0;
};

class DamagedBus {
public:
    /// Commits of all kinds until the log has `log_bytes`, with a checkpoint after each
    /// `checkpoint_every` of them (0: none), in segments of this size.
    DamagedBus(std::uint64_t log_bytes, std::uint64_t checkpoint_every, std::uint64_t segment_size,
               std::uint64_t seed)
        : random_(seed) {
        auto bus =
            start_with(at(folder_), {.ring_size = small.ring_size, .segment_size = segment_size});
        const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
        remember(bus);
        for (auto next = checkpoint_every; words.logged.load() < log_bytes;) {
            commit_something(bus);
            remember(bus);
            if (checkpoint_every == 0 || words.logged.load() < next) continue;
            bus.checkpoint();
            next += checkpoint_every;
        }
        bus.wait_durable(Sequence::newest);
        stop(std::move(bus));
        remove_arena(folder_.path());
        for (const auto* inner : {"log", "checkpoints"})
            for (const auto& entry : fs::directory_iterator(folder_ / inner))
                if (const auto text = read_file(entry.path()); !text.empty())  // not a lock
                    whole_[entry.path()] = text;
        whole_[folder_ / "bus"] = read_file(folder_ / "bus");
    }

    [[nodiscard]] const TempFolder& folder() const noexcept { return folder_; }
    [[nodiscard]] const std::map<fs::path, std::string>& files() const noexcept { return whole_; }
    /// Files of the log, or of checkpoints.
    [[nodiscard]] std::vector<fs::path> files_of(const std::string& inner) const {
        std::vector<fs::path> found;
        for (const auto& [path, text] : whole_)
            if (path.parent_path() == folder_ / inner) found.push_back(path);
        return found;
    }
    [[nodiscard]] std::uint64_t last() const { return states_.rbegin()->first; }
    [[nodiscard]] const Contents& state_at(std::uint64_t sequence) const {
        return states_.at(sequence);
    }

    /// Opens it with this file changed, reads everything, and puts the file right again. Fails the
    /// test where something is served that never was, or an error does not say which file and
    /// where.
    Seen look(const fs::path& file, std::string_view changed) {
        write_file(file, changed);
        auto seen = look_now();
        if (seen.what == Seen::What::damage) {
            EXPECT_EQ(seen.file, file.string());
            EXPECT_LE(seen.offset, std::max(changed.size(), whole_.at(file).size()));
        }
        write_file(file, whole_.at(file));
        return seen;
    }
    /// The same of the files as they are.
    Seen look_now() {
        auto config = at(folder_);
        config.open = Open::read_only;
        config.on_notice = [](const Notice&) {};
        try {
            const auto bus = start(config);
            return judge(bus);
        } catch (const Corrupt& e) {
            EXPECT_FALSE(e.expected().empty()) << e.what();
            EXPECT_LE(number(e.good_until()), last());
            return {Seen::What::damage, e.file(), e.offset(), number(e.good_until())};
        } catch (const NotABus& e) {  // a magic, or no header at all
            return {Seen::What::damage, file_of(e), 0, 0};
        } catch (const NewerFormat& e) {
            return {Seen::What::damage, file_of(e), 0, 0};
        }
    }

private:
    void remember(const State& bus) { states_[number(bus.sequence())] = contents_of(bus); }

    void commit_something(const State& bus) {
        const auto pages = bus.pages();
        const auto any = [&] { return pages[random_() % pages.size()]; };
        const auto size = 8 + random_() % 700;
        const auto kind = pages.size() < 3 ? 0 : random_() % 12;
        if (kind == 0 && pages.size() < 12) {
            bus.create_page(
                size, {.name = "page " + std::to_string(random_()), .contents = bytes_of("new")});
        } else if (kind == 1) {
            any().resize(size);
        } else if (kind == 2) {
            any().set_metadata("key", std::to_string(random_()));
        } else if (kind == 3 && pages.size() > 6) {
            bus.delete_page(any());
        } else {
            bus.transact(
                [&](Transaction& tx) {
                    for (int i = 0; i < 2; ++i) {
                        const auto page = any();
                        tx.write(page, 0, pattern(page.size(), static_cast<unsigned>(random_())));
                    }
                },
                {.label = "something"});
        }
    }

    // The file that the text of an error begins with.
    std::string file_of(const Error& e) const {
        for (const auto& [path, text] : whole_)
            if (std::string_view(e.what()).find(path.string()) != std::string_view::npos)
                return path.string();
        return {};
    }

    Seen judge(const State& bus) {
        const auto now = number(bus.sequence());
        Seen seen;
        if (!states_.contains(now)) {
            ADD_FAILURE() << "sequence " << now << " of " << last() << " never was";
            return seen;
        }
        EXPECT_EQ(contents_of(bus), state_at(now));
        if (!bus.recovery().damaged_checkpoint.empty()) seen.what = Seen::What::checkpoint;
        if (bus.recovery().dropped_bytes != 0 || bus.recovery().needed)
            seen.what = Seen::What::torn_tail;
        if (now != last()) {
            EXPECT_EQ(seen.what, Seen::What::torn_tail)
                << "commits are missing, and nobody said so";
        }
        // The past, too, is as it was or refused.
        for (int i = 0; i < 3; ++i) {
            const Sequence past{random_() % (now + 1)};
            try {
                EXPECT_EQ(contents_of(bus.at(past)), state_at(number(past)));
            } catch (const HistoryDropped&) {
            } catch (const Corrupt& e) {
                return {Seen::What::damage, e.file(), e.offset(), number(e.good_until())};
            }
        }
        EXPECT_TRUE(bus.verify().good);
        return seen;
    }

    std::mt19937_64 random_;
    TempFolder folder_{};
    std::map<std::uint64_t, Contents> states_{};
    std::map<fs::path, std::string> whole_{};
};

}  // namespace mmsb::test
